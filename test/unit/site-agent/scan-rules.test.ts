import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isRestarted, judgeAbsences, withNewRuns } from "../../../site-agent/tail/absences.ts";
import type { ServerRuns } from "../../../topology/ports.ts";
import { KeySet } from "../../../site-agent/tail/key-set.ts";

describe("a set of keys", () => {
  it("holds every key that was added, also over several growths", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ unit: "binary-ascii" }), { maxLength: 3_000 }),
        (keys) => {
          const set = new KeySet();
          for (const key of keys) set.add(key);
          for (const key of keys) set.add(key);
          expect(set.size).toBe(keys.length);
          expect(keys.every((key) => set.has(key))).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("takes none of 100,000 other keys for one of its 100,000", () => {
    const set = new KeySet();
    for (let i = 0; i < 100_000; i++) set.add(`session-${i}`);
    expect(set.size).toBe(100_000);
    const others = Array.from({ length: 100_000 }, (_, i) => `Session-${i}`);
    expect(others.filter((key) => set.has(key))).toEqual([]);
  });

  it("holds the empty key, and keys of any byte", () => {
    const set = new KeySet();
    expect(set.has("")).toBe(false);
    set.add("");
    set.add("\0");
    set.add("\xff");
    expect(["", "\0", "\xff", "\x01"].map((key) => set.has(key))).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});

describe("absences that a scan found", () => {
  const found = (live: number, missing: number, more = {}) =>
    judgeAbsences({
      live,
      missing,
      cacheRestarted: false,
      evicts: false,
      losesEntries: false,
      ...more,
    }).verdict;

  it.each([
    // live, missing: up to max(100, 5 %) are single deletes
    [1_000, 1, "removed"],
    [50, 50, "removed"],
    [1_000, 100, "removed"],
    [1_000, 101, "absent"],
    [10_000, 500, "removed"],
    [10_000, 501, "absent"],
    [100, 100, "removed"],
    [101, 101, "absent"],
  ] as const)("of %i live keys, %i missing, are %s", (live, missing, verdict) => {
    expect(found(live, missing)).toBe(verdict);
  });

  it("are never removes when the cache was restarted or evicts: a restart must never empty the other sites", () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.nat(100_000), fc.boolean(), (live, missing, evicts) => {
        expect(found(live, missing, { cacheRestarted: true, evicts })).toBe("absent");
        expect(found(live, missing, { evicts: true })).toBe("absent");
        expect(found(live, missing, { losesEntries: true })).toBe("absent");
      }),
    );
  });
});

describe("a cache", () => {
  const runs = (text: Record<string, string>) => new Map(Object.entries(text));

  it.each([
    [
      "one server of several still runs",
      { a: "boot 1", b: "boot 2" },
      { a: "boot 9", b: "boot 2" },
      false,
    ],
    ["every server runs anew", { a: "boot 1", b: "boot 2" }, { a: "boot 8", b: "boot 9" }, true],
    ["only servers that were not known run", { a: "boot 1" }, { b: "boot 1" }, true],
    [
      "a known server runs on beside a new one",
      { a: "boot 1" },
      { a: "boot 1", c: "boot 3" },
      false,
    ],
    ["a start time is told a second off", { a: "start 5000" }, { a: "start 6000" }, false],
    ["a start time is another", { a: "start 5000" }, { a: "start 9000" }, true],
  ])("when %s: restarted %o -> %o is %s", (_name, before, now, expected) => {
    expect(isRestarted(runs(before), runs(now))).toBe(expected);
  });

  it("is not called restarted before anything was known of its servers", () => {
    expect(isRestarted(undefined, runs({ a: "boot 1" }))).toBe(false);
  });

  it("counts as restarted when none of the known servers can be seen to run on", () => {
    expect(isRestarted(runs({ a: "boot 1" }), runs({}))).toBe(true);
  });

  it("is not called restarted after a rolling restart that was watched, though none of its first servers is left", () => {
    let known: ServerRuns = runs({ a: "boot 1", b: "boot 2" });
    const steps = [{ b: "boot 2" }, { a: "boot 9", b: "boot 2" }, { a: "boot 9" }];
    for (const now of steps) known = withNewRuns(known, runs(now)) ?? known;
    expect(isRestarted(known, runs({ a: "boot 9", b: "boot 8" }))).toBe(false);
    expect(isRestarted(known, runs({ a: "boot 7", b: "boot 8" }))).toBe(true);
  });

  it("learns nothing of servers none of which ran before: it was restarted unseen", () => {
    const known = runs({ a: "boot 1" });
    expect(withNewRuns(known, runs({ a: "boot 2", c: "boot 3" }))).toBeUndefined();
    expect(withNewRuns(known, runs({}))).toBeUndefined();
    expect(withNewRuns(known, runs({ a: "boot 1" }))).toBeUndefined();
  });
});
