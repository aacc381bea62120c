import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planWrite, withKeptValues, withValue } from "../../../site-agent/apply/plan.ts";
import { knownHashes, rebuilt, rejoined } from "../../../site-agent/apply/recovery.ts";
import { UnknownWrites } from "../../../site-agent/apply/unknown-writes.ts";
import {
  CACHE_OPERATION_TIMEOUT_MS,
  UNKNOWN_WRITE_MS,
  UNKNOWN_WRITES_MAX,
} from "../../../topology/limits.ts";
import type { CacheLedger, CacheState } from "../../../topology/ports.ts";
import type { Entry, Held } from "../../../topology/version/entry.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { unionMerge } from "../version/sites-model.ts";
import { arrival } from "./applier-bench.ts";

const NOW = 1_000_000;
const HELD: Held = { hash: hashOf("a"), token: 1n, seenBy: 0, expiresAt: 0, maxIdleMs: 0 };
const row = (presence: Entry["presence"], held: Held | undefined = HELD): Entry => ({
  context: new Map(),
  siblings: [],
  presence,
  held: presence === "live" ? held : undefined,
  outboxSeq: 0,
});
const plan = (entry: Entry | undefined, value: string | undefined, more = {}, invalidate = false) =>
  planWrite(entry, arrival("nyc", 1, value, more), { now: NOW, invalidate, mergedHash: undefined });

describe("the write that brings a cache to what shows", () => {
  it.each<[string, ReturnType<typeof plan>, object]>([
    ["none where it is held", plan(row("live"), "a"), { write: "none", presence: "live" }],
    ["a put where another value is", plan(row("live"), "b"), { write: "put" }],
    ["a put where the key is missing", plan(undefined, "a"), { write: "put" }],
    ["a put over an equal version without a copy", plan(row("absent"), "a"), { write: "put" }],
    [
      "a put where only the expiry differs",
      plan(row("live"), "a", { expiresAt: NOW + 9_000 }),
      { write: "put" },
    ],
    [
      "a put where only the idle time differs",
      plan(row("live"), "a", { maxIdleMs: 9 }),
      { write: "put" },
    ],
    [
      "a remove where a remove shows",
      plan(row("live"), undefined),
      { write: "remove", presence: "tombstone" },
    ],
    [
      "none where a remove shows of what is not here",
      plan(row("absent"), undefined),
      { write: "none", presence: "tombstone" },
    ],
    [
      "a remove of what came past its expiry",
      plan(row("live"), "b", { expiresAt: NOW }),
      { write: "remove" },
    ],
    [
      "a put just before, in this site's clock",
      plan(row("live"), "b", { expiresAt: NOW - 5, offsetMs: 6 }),
      { write: "put", wanted: { expiresAt: NOW + 1 } },
    ],
    [
      "a remove just after, in this site's clock",
      plan(row("live"), "b", { expiresAt: NOW + 5, offsetMs: -6 }),
      { write: "remove" },
    ],
    [
      "a remove of any copy under invalidate",
      plan(row("live"), "a", {}, true),
      { write: "remove", presence: "absent" },
    ],
    [
      "none without a copy under invalidate",
      plan(row("tombstone"), "a", {}, true),
      { write: "none", presence: "absent" },
    ],
  ])("is %s", (_name, found, expected) => {
    expect(found).toMatchObject(expected);
  });

  it("leaves value bytes only with the versions that the cache does not hold, and gives them back by hash", () => {
    const [shows, hidden] = [arrival("lon", 2, "s"), arrival("nyc", 1, "h")];
    const kept = withKeptValues({ context: new Map(), siblings: [shows, hidden] }, [hidden]);
    expect(kept.siblings.map(({ value }) => value?.toString())).toEqual([undefined, "h"]);
    const filled = withValue(kept, hashOf("s"), Buffer.from("s"));
    expect(filled.siblings.map(({ value }) => value?.toString())).toEqual(["s", "h"]);
  });
});

describe("cache writes without an answer", () => {
  const state = (token: bigint): CacheState => ({
    value: Buffer.from("a"),
    token,
    createdAt: 0,
    lastUsedAt: 0,
    expiresAt: 0,
    maxIdleMs: 0,
  });
  const wanted = { hash: "h", value: undefined, expiresAt: 0, maxIdleMs: 0, of: undefined };
  const make = () => {
    const clock = new ManualClock();
    return { clock, writes: new UnknownWrites(clock) };
  };

  it("explain the state that they make, once, and no other", () => {
    const { writes } = make();
    writes.add("k", 1n, wanted);
    expect(writes.explain("other", state(2n), "h")).toBeUndefined();
    expect(writes.explain("k", state(1n), "x")).toBeUndefined();
    expect(writes.explain("k", state(2n), "h")).toMatchObject({ expected: 1n });
    expect(writes.explain("k", state(3n), "h")).toBeUndefined();
    writes.add("k", 1n, undefined);
    expect(writes.explain("k", undefined, "")).toMatchObject({ wanted: undefined });
  });

  it("a remove explains no absence once a later token was told of, unless its own was not seen before (I1)", () => {
    const { writes } = make();
    writes.add("k", 1n, undefined, true);
    writes.overtaken("k", 1n);
    expect(writes.mayBeOpen).toBe(true);
    writes.overtaken("k", 2n);
    expect([writes.mayBeOpen, writes.explain("k", undefined, "")]).toEqual([false, undefined]);
    writes.add("k", 1n, undefined, false);
    writes.overtaken("k", 2n);
    expect(writes.explain("k", undefined, "")).toMatchObject({ expected: 1n });
  });

  it("a remove that a later token overtook while its answer was awaited stays over when no answer comes (I1)", () => {
    const { clock, writes } = make();
    const awaited = writes.add("k", 1n, undefined, true);
    clock.advance(UNKNOWN_WRITE_MS - 1);
    writes.unanswered("k", awaited);
    clock.advance(UNKNOWN_WRITE_MS - 1);
    expect(writes.mayBeOpen).toBe(true);
    const overtaken = writes.add("k", 2n, undefined, true);
    writes.overtaken("k", 3n);
    writes.unanswered("k", overtaken);
    expect([writes.mayBeOpen, writes.explain("k", undefined, "")]).toEqual([false, undefined]);
  });

  it("can be done no more once the token that they ask for is gone, but whenever the key is missing again", () => {
    const { writes } = make();
    writes.add("k", 1n, wanted);
    expect(writes.explain("k", state(9n), "x")).toBeUndefined();
    expect(writes.explain("k", state(10n), "h")).toBeUndefined();
    writes.add("k", "missing", wanted);
    expect(writes.explain("k", state(9n), "x")).toBeUndefined();
    expect(writes.explain("k", state(10n), "h")).toMatchObject({ expected: "missing" });
  });

  it("a remove explains the absence of what it was conditional on, or of what has no token that is known (I1)", () => {
    const { writes } = make();
    writes.add("k", 1n, undefined);
    expect(writes.explain("k", undefined, "", { ...HELD, token: 2n })).toBeUndefined();
    for (const token of [undefined, 0n, 1n]) {
      writes.add("k", 1n, undefined);
      expect(writes.explain("k", undefined, "", { ...HELD, token })).toMatchObject({
        expected: 1n,
      });
    }
  });

  it("explain nothing once the server answered that they were not done (I3)", () => {
    const { writes } = make();
    writes.add("k", 1n, undefined);
    writes.refused("k", writes.add("k", 2n, undefined));
    expect(writes.explain("k", undefined, "")).toMatchObject({ expected: 1n });
    expect(writes.explain("k", undefined, "")).toBeUndefined();
  });

  it("explain a lifespan that began as late as the write may have been done, and none that began later (I4)", () => {
    const [expiresAt, lateMs] = [NOW, 4_000];
    const isOurs = (ms: number, end = expiresAt) => {
      const { clock, writes } = make();
      writes.add("k", "missing", { ...wanted, expiresAt: end });
      clock.advance(lateMs);
      return writes.explain("k", { ...state(2n), expiresAt: expiresAt + ms }, "h") !== undefined;
    };
    expect([0, lateMs].map((ms) => isOurs(ms))).toEqual([true, true]);
    const tooLate = lateMs + CACHE_OPERATION_TIMEOUT_MS + 2_000;
    expect([-2_000, tooLate].map((ms) => isOurs(ms))).toEqual([false, false]);
    expect(isOurs(0, 0)).toBe(false);
  });

  it("explain the end of what they put, if that could end by itself (I4)", () => {
    const { writes } = make();
    writes.add("k", 1n, { ...wanted, expiresAt: NOW });
    expect(writes.explain("k", undefined, "x")).toBeUndefined();
    writes.add("k", "missing", { ...wanted, expiresAt: NOW });
    expect(writes.explain("k", undefined, "")).toBeUndefined();
    expect(writes.explain("k", undefined, "h")).toMatchObject({ expected: "missing" });
    writes.add("k", "missing", wanted);
    expect(writes.explain("k", undefined, "h")).toBeUndefined();
  });

  it("are forgotten after their time, and beyond their bound the oldest first (I12)", () => {
    const { clock, writes } = make();
    writes.add("k", "missing", wanted);
    clock.advance(UNKNOWN_WRITE_MS - 1);
    writes.add("l", "missing", wanted);
    clock.advance(1);
    expect(writes.explain("k", state(1n), "h")).toBeUndefined();
    expect(writes.explain("l", state(1n), "h")).toBeDefined();
    for (let i = 0; i <= UNKNOWN_WRITES_MAX; i++) writes.add(`k${i}`, 1n, wanted);
    expect(writes.explain("k0", state(2n), "h")).toBeUndefined();
    expect(writes.explain("k1", state(2n), "h")).toBeDefined();
  });
});

describe("after an unclean end", () => {
  const rows = (entry: Entry | undefined) => ({ get: () => entry }) as unknown as CacheLedger;
  const known = (entry: Entry | undefined, ...arrivals: ReturnType<typeof arrival>[]) => {
    const window = new Map([["k", arrivals]]);
    const hashes = knownHashes(window, rows(entry), { merge: "union" }, unionMerge, hashOf);
    return (value: string) => hashes.get("k")?.has(hashOf(value)) === true;
  };

  it("every value that an apply may have written is known: each version of the window, and each merge on the way (I6)", () => {
    const isKnown = known(
      undefined,
      arrival("nyc", 1, "a"),
      arrival("par", 2, "b"),
      arrival("nyc", 3, "c"),
    );
    expect(["a", "b", "c", "ab", "bc"].filter((value) => !isKnown(value))).toEqual([]);
    expect(["", "x", "abc"].filter(isKnown)).toEqual([]);
  });

  it("a missing key is known only if what arrived may have left none: else a client may have removed it (I3)", () => {
    const put = arrival("nyc", 2, "a");
    const bare = ({ value: _gone, ...version }: typeof put) => version;
    const isGoneKnown = (...window: ReturnType<typeof arrival>[]) => {
      const held = { ...HELD, hash: hashOf("h") };
      const siblings = [bare(arrival("lon", 3, "h")), arrival("par", 1, undefined)];
      const entry = { ...row("live", held), siblings };
      const logs = new Map([["k", window]]);
      return knownHashes(logs, rows(entry), "last-writer-wins", new Map(), hashOf)
        .get("k")
        ?.has("");
    };
    expect(isGoneKnown(put)).toBe(false);
    expect(isGoneKnown(arrival("nyc", 2, undefined))).toBe(false);
    expect(isGoneKnown(arrival("nyc", 4, undefined), put)).toBe(true);
    expect(isGoneKnown(arrival("nyc", 4, "b", { expiresAt: NOW }))).toBe(true);
    expect(isGoneKnown(bare(arrival("nyc", 4, "b")))).toBe(true);
  });

  it("so are the merges of all that one log may have been ahead of another by", () => {
    const isKnown = known(
      undefined,
      arrival("nyc", 1, "a"),
      arrival("nyc", 3, "c"),
      arrival("par", 2, "b"),
    );
    expect(["ab", "bc"].filter((value) => !isKnown(value))).toEqual([]);
  });

  it("and what the ledger's own row shows", () => {
    const entry = { ...row("live"), siblings: [arrival("lon", 1, "mine")] };
    expect(known(entry, arrival("nyc", 2, "b"))("mine")).toBe(true);
  });

  it("own versions are taken back as what the cache held, in any split of the log, and repeats change nothing", () => {
    const own = [1, 2, 3].map((at) => arrival("lon", at, at === 2 ? undefined : `v${at}`));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), (end) => {
        const before = rejoined(undefined, new Map(), own.slice(0, end));
        const after = rejoined(before, new Map(), own);
        const whole = rejoined(undefined, new Map(), own);
        expect(after ?? before).toMatchObject({
          presence: "live",
          held: { hash: hashOf("v3"), token: undefined },
        });
        expect((after ?? before)?.siblings).toEqual(whole?.siblings);
      }),
    );
    expect(rejoined(undefined, new Map(), own.slice(0, 2))?.presence).toBe("tombstone");
  });

  it("a ledger that was lost claims no copy before a scan has found it", () => {
    const no = () => false;
    expect(rebuilt(undefined, new Map(), [arrival("nyc", 1, "a")], no)).toMatchObject({
      presence: "absent",
      held: undefined,
    });
    expect(rebuilt(undefined, new Map(), [arrival("nyc", 1, undefined)], no)?.presence).toBe(
      "tombstone",
    );
    const floor = new Map([["nyc", 2n ** 62n]]);
    expect(rebuilt(undefined, floor, [arrival("nyc", 1, "a")], no)).toBeUndefined();
  });

  it("a ledger that was lost claims the copy that the cache held for certain: without it, it was removed (I3)", () => {
    const ours = ({ author }: { author: string }) => author === "lon";
    const bring = (...told: ReturnType<typeof arrival>[]) =>
      rebuilt(undefined, new Map(), told, ours);
    expect(bring(arrival("lon", 1, "a"), arrival("lon", 2, "b"))).toMatchObject({
      presence: "live",
      held: { hash: hashOf("b"), token: undefined },
    });
    expect(bring(arrival("lon", 1, "a"), arrival("lon", 2, undefined))?.presence).toBe("tombstone");
    // What shows is the other site's, or one of two: it may not have been applied here.
    expect(bring(arrival("nyc", 1, "a"))?.presence).toBe("absent");
    expect(bring(arrival("lon", 1, "a"), arrival("nyc", 1, "b"))?.presence).toBe("absent");
  });
});
