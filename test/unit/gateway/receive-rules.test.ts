import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { CacheSuccesses, DeadLetterRule } from "../../../gateway/receive/dead-letter-rule.ts";
import { KeyedQueue } from "../../../gateway/receive/keyed-queue.ts";
import { PositionStore } from "../../../gateway/receive/position-store.ts";
import { contains, PositionTracker } from "../../../gateway/receive/position-tracker.ts";
import {
  DEAD_LETTER_FAILURES,
  DEAD_LETTER_MS,
  POSITION_RANGES_MAX,
} from "../../../topology/limits.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

describe("an applied position", () => {
  it("is the contiguous prefix of what is done, with the ranges beyond it, in any order of ends", () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(gaps, fc.infiniteStream(fc.nat()), (steps, draws) => {
        const seqs: number[] = [];
        for (const step of steps) seqs.push((seqs.at(-1) ?? 10) + step);
        const tracker = new PositionTracker(10);
        const open = new Set<number>();
        const done = new Set<number>();
        const waiting = [...seqs];
        while (waiting.length + open.size > 0) {
          const draw = draws.next().value ?? 0;
          const next = waiting[0];
          if (next !== undefined && (draw % 2 === 0 || open.size === 0)) {
            waiting.shift();
            tracker.begin(next);
            open.add(next);
            continue;
          }
          const ended = [...open][draw % open.size] ?? 0;
          const before = tracker.seq;
          open.delete(ended);
          done.add(ended);
          const moved = tracker.done(ended);
          expect(moved).toBe(tracker.seq > before);
          const applied = tracker.applied();
          for (const seq of seqs) expect(contains(applied, seq)).toBe(done.has(seq));
          expect(contains(applied, 10)).toBe(true);
          expect(tracker.open).toBe([...open, ...done].filter((s) => s > tracker.seq).length);
        }
        expect(tracker.applied()).toEqual({ seq: seqs.at(-1), ranges: [] });
      }),
    );
  });

  it("names a bounded number of ranges beyond a batch that is stuck, the lowest first (I12)", () => {
    const tracker = new PositionTracker(0);
    for (let seq = 1; seq <= 400; seq++) tracker.begin(seq);
    for (let seq = 3; seq <= 400; seq += 2) tracker.done(seq);
    const { seq, ranges } = tracker.applied();
    expect([seq, ranges.length]).toEqual([0, POSITION_RANGES_MAX]);
    expect([ranges[0], ranges[1]]).toEqual([
      [3, 3],
      [5, 5],
    ]);
    for (let even = 4; even <= 400; even += 2) tracker.done(even);
    expect(tracker.applied()).toEqual({ seq: 0, ranges: [[3, 400]] });
  });

  it("refuses what would be a bug: a batch begun twice, below the prefix, or ended without a begin", () => {
    const tracker = new PositionTracker(5);
    tracker.begin(6);
    expect(() => tracker.begin(6)).toThrow("isthmus bug");
    expect(() => tracker.begin(5)).toThrow("isthmus bug");
    expect(() => tracker.done(7)).toThrow("isthmus bug");
    tracker.done(6);
    expect(() => tracker.done(6)).toThrow("isthmus bug");
  });
});

describe("a keyed queue", () => {
  it("keeps order per key, works on one key once at a time, and never on more keys than its bound (I12)", async () => {
    const item = fc.record({ key: fc.constantFrom("a", "b", "c", "d"), turns: fc.nat(4) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        async (items, keysMax) => {
          const seen = new Map<string, number[]>();
          const running = new Set<string>();
          const queue = new KeyedQueue<{ n: number; turns: number }>(
            async (key, group) => {
              expect(running.has(key)).toBe(false);
              running.add(key);
              expect(running.size).toBeLessThanOrEqual(keysMax);
              for (const { n, turns } of group) {
                for (let turn = 0; turn < turns; turn++) await Promise.resolve();
                seen.set(key, [...(seen.get(key) ?? []), n]);
              }
              running.delete(key);
            },
            keysMax,
            8,
          );
          for (const [n, { key, turns }] of items.entries()) {
            await queue.room();
            expect(queue.size).toBeLessThan(8);
            queue.push(key, { n, turns });
          }
          await queue.drained();
          expect(queue.size).toBe(0);
          for (const key of ["a", "b", "c", "d"]) {
            const pushed = [...items.entries()].filter(([, each]) => each.key === key);
            expect(seen.get(key) ?? []).toEqual(pushed.map(([n]) => n));
          }
        },
      ),
    );
  });

  it("hands over together what waited behind a key at work, and lets other keys pass a stuck one", async () => {
    const groups: string[] = [];
    let release!: () => void;
    const stuck = new Promise<void>((resolve) => (release = resolve));
    const queue = new KeyedQueue<number>(
      async (key, items) => {
        groups.push(`${key}${items.join("")}`);
        if (items[0] === 0) await stuck;
      },
      2,
      100,
    );
    for (let n = 0; n < 4; n++) queue.push("a", n);
    queue.push("b", 5);
    await Promise.resolve();
    expect(groups).toEqual(["a0", "b5"]);
    release();
    await queue.drained();
    expect(groups).toEqual(["a0", "b5", "a123"]);
  });
});

describe("a failing mutation", () => {
  const POISON = new Error("cannot be applied");
  const make = () => {
    const clock = new ManualClock();
    const successes = new CacheSuccesses();
    const others = new DeadLetterRule(clock, successes);
    return { clock, others, rule: new DeadLetterRule(clock, successes) };
  };

  it("is dead after its failures over their time, if another of its cache succeeded meanwhile", () => {
    const { clock, others, rule } = make();
    for (let n = 1; n < DEAD_LETTER_FAILURES; n++) expect(rule.failed(POISON)).toBe(false);
    clock.advance(DEAD_LETTER_MS - 1);
    others.succeeded();
    expect(rule.failed(POISON)).toBe(false);
    clock.advance(1);
    expect(rule.failed(POISON)).toBe(true);
  });

  it("waits for ever while nothing of its cache succeeds, or all that did was before its first failure", () => {
    const { clock, others, rule } = make();
    others.succeeded();
    clock.advance(1);
    for (let n = 0; n < 1_000; n++) {
      expect(rule.failed(POISON)).toBe(false);
      clock.advance(1_000);
    }
    others.succeeded();
    expect(rule.failed(POISON)).toBe(true);
  });

  it("is not dead by time alone", () => {
    const { clock, others, rule } = make();
    for (let n = 1; n < DEAD_LETTER_FAILURES; n++) {
      expect(rule.failed(POISON)).toBe(false);
      clock.advance(DEAD_LETTER_MS);
      others.succeeded();
    }
    expect(rule.failed(POISON)).toBe(true);
  });

  it("is not dead while its cache's cluster changes, though other keys go on", () => {
    const { clock, others, rule } = make();
    const server = (status: number) =>
      new IsthmusError(ErrorCode.HotRodServer, "refused", { cause: { status, text: "" } });
    const unanswered = new IsthmusError(ErrorCode.HotRodTimeout, "no answer");
    for (const error of [unanswered, server(0x86), server(0x87), server(0x88)])
      for (let n = 0; n < 2 * DEAD_LETTER_FAILURES; n++) {
        clock.advance(DEAD_LETTER_MS);
        others.succeeded();
        expect(rule.failed(error)).toBe(false);
      }
    for (let n = 1; n < DEAD_LETTER_FAILURES; n++) expect(rule.failed(server(0x85))).toBe(false);
    clock.advance(DEAD_LETTER_MS);
    others.succeeded();
    expect(rule.failed(server(0x85))).toBe(true);
  });
});

describe("positions in the ledger", () => {
  const at = { incarnation: "i", counter: 3, dot: makeDot(5, 1), isIncomplete: true };

  it("are read back after a restart, apart for each origin and cache", async () => {
    const machine = new VirtualMachine();
    const store = new PositionStore(machine.ledger);
    store.set("nyc", "sessions", { seq: 9, ...at });
    store.setBound("nyc", "sessions", 70);
    await machine.settle(machine.ledger.commit());
    machine.restart();
    const again = new PositionStore(machine.ledger);
    expect(again.get("nyc", "sessions")).toEqual({ seq: 9, ...at, bound: 70 });
    const none = { seq: 0, incarnation: "", counter: 0, dot: 0n, isIncomplete: false, bound: 0 };
    expect(again.get("nyc", "other")).toEqual(none);
    expect(again.get("lon", "sessions")).toEqual(none);
    again.restart("nyc", "sessions");
    expect(again.get("nyc", "sessions")).toEqual(none);
  });
});
