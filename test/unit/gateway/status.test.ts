import * as fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import {
  AppliedAnnouncer,
  decodeApplied,
  listenApplied,
  type AppliedPosition,
} from "../../../gateway/status/applied-exchange.ts";
import { Unconfirmed } from "../../../gateway/status/unconfirmed.ts";
import { contains } from "../../../gateway/receive/position-tracker.ts";
import { APPLIED_INTERVAL_MS, UNCONFIRMED_BATCHES_MAX } from "../../../topology/limits.ts";
import type { Bus } from "../../../topology/ports.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const batch = (seq: number, mutations = 1) => ({
  seq,
  mutations,
  bytes: mutations * 10,
  at: seq * 100,
});

describe("what a target has not confirmed", () => {
  it("is every published batch until an announcement contains it, by prefix or range, in any order", () => {
    const announcement = fc.record({
      seq: fc.nat(30),
      ranges: fc.array(fc.tuple(fc.nat(30), fc.nat(5)), { maxLength: 3 }),
    });
    const step = fc.oneof(fc.constant("publish" as const), announcement);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const unconfirmed = new Unconfirmed();
        let open: number[] = [];
        let published = 0;
        let confirmed = 0;
        for (const each of steps) {
          if (each === "publish") {
            published += 1;
            unconfirmed.published("i", batch(published));
            if (published > confirmed) open.push(published);
          } else if (published > 0) {
            const ranges = each.ranges.map(([from, n]) => [from, from + n] as const);
            const applied = { seq: each.seq, ranges };
            unconfirmed.confirmed("i", applied);
            confirmed = Math.max(confirmed, each.seq);
            open = open.filter((seq) => !contains(applied, seq));
          }
          const oldestAt = open[0] === undefined ? undefined : open[0] * 100;
          expect(unconfirmed.atRisk()).toEqual({
            mutations: open.length,
            bytes: open.length * 10,
            oldestAt,
          });
          if (published > 0) expect(unconfirmed.confirmedSeq("i")).toBe(confirmed);
        }
      }),
    );
  });

  it("is not confirmed by another incarnation, and begins anew with a new one", () => {
    const unconfirmed = new Unconfirmed();
    unconfirmed.published("i1", batch(5));
    unconfirmed.confirmed("i2", { seq: 100, ranges: [] });
    expect(unconfirmed.atRisk().mutations).toBe(1);
    unconfirmed.confirmed("i1", { seq: 5, ranges: [] });
    unconfirmed.published("i2", batch(1));
    expect([unconfirmed.atRisk().mutations, unconfirmed.confirmedSeq("i2")]).toEqual([1, 0]);
    expect(unconfirmed.confirmedSeq("i1")).toBe(0);
  });

  it("never shrinks by what was not confirmed beyond the bound, where batches are counted together (I12)", () => {
    const unconfirmed = new Unconfirmed();
    const count = UNCONFIRMED_BATCHES_MAX + 100;
    for (let seq = 1; seq <= count; seq++) unconfirmed.published("i", batch(seq));
    expect(unconfirmed.atRisk()).toMatchObject({ mutations: count, oldestAt: 100 });
    unconfirmed.confirmed("i", { seq: 0, ranges: [[count, count]] });
    expect(unconfirmed.atRisk().mutations).toBe(count);
    unconfirmed.confirmed("i", { seq: 0, ranges: [[UNCONFIRMED_BATCHES_MAX, count]] });
    expect(unconfirmed.atRisk().mutations).toBe(UNCONFIRMED_BATCHES_MAX - 1);
    unconfirmed.confirmed("i", { seq: count, ranges: [] });
    expect(unconfirmed.atRisk()).toEqual({ mutations: 0, bytes: 0, oldestAt: undefined });
  });
});

describe("applied positions between sites", () => {
  const position = (seq: number): AppliedPosition => ({
    cache: "sessions",
    incarnation: "i",
    seq,
    aside: { seqs: [], counters: [] },
    ranges: [[seq + 2, seq + 4]],
  });

  /** One site's announcer and another's listener on one bus. */
  function exchange() {
    const clock = new ManualClock();
    const heard: AppliedPosition[] = [];
    let handler: (payload: Uint8Array) => void = () => undefined;
    const subjects = new Set<string>();
    const bus = {
      publish: (subject: string, payload: Uint8Array) => {
        subjects.add(subject);
        handler(payload);
      },
      subscribe: (subject: string, handle: typeof handler) => {
        subjects.add(subject);
        handler = handle;
        return () => undefined;
      },
    } as unknown as Bus;
    listenApplied(bus, "nyc", "lon", (each) => heard.push(each));
    let seq = 0;
    const announcer = new AppliedAnnouncer({ bus, clock }, "nyc", "lon", () => [position(seq)]);
    const moved = (urgent: boolean) => {
      seq += 1;
      announcer.moved(urgent);
    };
    return { clock, heard, subjects, moved, tell: (payload: Uint8Array) => handler(payload) };
  }

  it("travel at once when a writer waits, else gathered, at most once in their interval", () => {
    const { clock, heard, subjects, moved } = exchange();
    for (let i = 0; i < 5; i++) moved(false);
    expect(heard).toEqual([]);
    clock.advance(APPLIED_INTERVAL_MS);
    expect(heard).toEqual([position(5)]);
    moved(false);
    moved(true);
    expect(heard.at(-1)).toEqual(position(7));
    clock.advance(10 * APPLIED_INTERVAL_MS);
    expect(heard).toHaveLength(2);
    expect(subjects.size).toBe(1);
  });

  it("are dropped, never thrown about, when they cannot be read: whole messages, or single rows", () => {
    const { heard, tell } = exchange();
    const packr = new Packr({ useRecords: false });
    const good = ["sessions", "i", 3, [[5, 7]], [4], [[1, 2]]];
    const bad = [
      null,
      7,
      ["sessions", "i", "3", [], []],
      ["sessions", "i", -1, [], []],
      ["sessions", "i", 3, [null], []],
      ["sessions", "i", 3, [[5]], []],
      ["sessions", "i", 3, [[5, "7"]], []],
      ["sessions", "i", 3, { 0: [5, 7] }, []],
      ["sessions", "i", 3, [], ["4"], []],
      ["sessions", "i", 3, [], [], [1]],
      ["sessions", "i", 3, []],
      [1, "i", 3, [], []],
    ];
    tell(packr.pack([1, [...bad, good]]));
    expect(heard).toEqual([
      {
        cache: "sessions",
        incarnation: "i",
        seq: 3,
        ranges: [[5, 7]],
        aside: { seqs: [4], counters: [[1, 2]] },
      },
    ]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
        for (const { seq, ranges } of decodeApplied(noise)) contains({ seq, ranges }, 1);
      }),
    );
    expect(decodeApplied(packr.pack([2, [good]]))).toEqual([]);
  });
});
