import { describe, expect, it } from "vitest";
import { AppliedTimes } from "../../../gateway/receive/applied-times.ts";
import { APPLIED_TIMES_MAX, APPLIED_TIMES_MS } from "../../../topology/limits.ts";

describe("the times at which a position moved", () => {
  it("tell when a sequence was passed, within the width of a sample and never too early", () => {
    const times = new AppliedTimes();
    const moves: Array<[number, number]> = [];
    let at = 0;
    for (let seq = 10; seq < 400; seq++) {
      at += seq % 50 === 0 ? 60_000 : 300;
      moves.push([seq, at]);
      times.moved(seq, at);
    }
    for (const [seq, movedAt] of moves) {
      const passed = times.passed(seq) ?? 0;
      expect(passed).toBeGreaterThanOrEqual(movedAt);
      expect(passed - movedAt).toBeLessThanOrEqual(APPLIED_TIMES_MS);
    }
    // Before the first sample and behind the last nothing is known.
    expect([times.passed(9), times.passed(400)]).toEqual([undefined, undefined]);
  });

  it("forget what they knew when the log or the clock began anew", () => {
    const times = new AppliedTimes();
    times.moved(100, 5_000);
    times.moved(3, 9_000);
    expect([times.passed(3), times.passed(100)]).toEqual([9_000, undefined]);
    times.moved(5, 1_000);
    expect([times.passed(3), times.passed(5)]).toEqual([undefined, 1_000]);
  });

  it("are bounded: the oldest go (I12)", () => {
    const times = new AppliedTimes();
    for (let i = 1; i <= 3 * APPLIED_TIMES_MAX; i++) times.moved(i, i * APPLIED_TIMES_MS);
    expect(times.passed(1)).toBeUndefined();
    const recent = 3 * APPLIED_TIMES_MAX - APPLIED_TIMES_MAX / 4;
    expect(times.passed(recent)).toBe(recent * APPLIED_TIMES_MS);
  });
});
