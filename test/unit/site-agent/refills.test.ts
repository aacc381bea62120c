import { describe, expect, it } from "vitest";
import { Refills } from "../../../site-agent/refills.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { REFILLED_KEYS_MAX, REFILLS_LOST_MAX, REFILLS_LOST_MS } from "../../../topology/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryLogger } from "../../support/real-time.ts";

function bench() {
  const [clock, logger] = [new ManualClock(), new MemoryLogger()];
  const refills = new Refills({ cache: "sessions", clock, logger });
  /** Refills a key and loses it again, so many times; whether each loss was not the first. */
  const round = (key: string, times: number): boolean[] =>
    Array.from({ length: times }, () => {
      refills.refilled(key);
      return refills.lost(key);
    });
  return { clock, logger, refills, round };
}

describe("a cache that loses what was refilled", () => {
  it("evicts once a key was gone again so many times, which is told once, with what to do", () => {
    const { refills, round, logger } = bench();
    expect(round("k", REFILLS_LOST_MAX - 1)).toEqual([false, true]);
    expect(refills.problem).toBeUndefined();
    round("k", 1);
    expect(refills.problem).toMatchObject({
      code: ErrorCode.CacheEvicts,
      hint: expect.stringContaining("evicts: true"),
    });
    round("other", REFILLS_LOST_MAX);
    expect(logger.lines).toHaveLength(1);
    expect(logger.lines[0]).toMatchObject({ level: "error", fields: { code: "IS2010" } });
  });

  it("does not by many keys that are gone once, nor by one that never came back in between", () => {
    const { refills, round } = bench();
    for (let i = 0; i < 100; i++) expect(round(`k${i}`, 1)).toEqual([false]);
    for (let i = 0; i < 10; i++) expect(refills.lost("k1")).toBe(false);
    for (let i = 0; i < 10; i++) expect(refills.lost("never refilled")).toBe(false);
    expect(refills.problem).toBeUndefined();
  });

  it("does not by losses that lie far apart, or behind restarts of the whole cache", () => {
    const { clock, refills, round } = bench();
    for (let i = 0; i < 5; i++) {
      round("k", REFILLS_LOST_MAX - 1);
      clock.advance(REFILLS_LOST_MS + 1);
    }
    for (let i = 0; i < 5; i++) {
      round("k", REFILLS_LOST_MAX - 1);
      refills.restarted();
    }
    expect(refills.problem).toBeUndefined();
  });

  it("is watched by a bounded number of keys (I12)", () => {
    const { refills, round } = bench();
    for (let i = 0; i < REFILLED_KEYS_MAX; i++) refills.refilled(`k${i}`);
    round("beyond", REFILLS_LOST_MAX);
    expect(refills.problem).toBeUndefined();
    round("k7", REFILLS_LOST_MAX);
    expect(refills.problem).toBeDefined();
  });
});
