import { describe, expect, it } from "vitest";
import { CacheFacts } from "../../../site-agent/cache-facts.ts";
import { UntoldLosses } from "../../../site-agent/untold-losses.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import {
  LATE_EVENT_MS_MAX,
  REFILLED_KEYS_MAX,
  REFILLS_LOST_MAX,
  REFILLS_LOST_MS,
  UNTOLD_LOSS_MS,
} from "../../../topology/limits.ts";
import type { Ledger } from "../../../topology/ports.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryLogger } from "../../support/real-time.ts";

function bench() {
  const [clock, logger] = [new ManualClock(), new MemoryLogger()];
  const kept = new Map<string, unknown>();
  const ledger = {
    fact: (name: string) => kept.get(name),
    setFact: (name: string, value: unknown) => void kept.set(name, value),
  } as unknown as Ledger;
  const facts = new CacheFacts(ledger, "sessions");
  const started = () => new UntoldLosses({ cache: "sessions", clock, logger, facts });
  const losses = started();
  /** Refills a key and loses it again, so many times; whether each loss was not the first. */
  const round = (key: string, times: number): boolean[] =>
    Array.from({ length: times }, () => {
      losses.refilled(key);
      return losses.lost(key);
    });
  return { clock, logger, losses, round, started };
}

describe("a cache that loses what was refilled", () => {
  it("evicts once a key was gone again so many times, which is told once, with what to do", () => {
    const { losses, round, logger } = bench();
    expect(round("k", REFILLS_LOST_MAX - 1)).toEqual([false, true]);
    expect(losses.problem).toBeUndefined();
    round("k", 1);
    expect(losses.problem).toMatchObject({
      code: ErrorCode.CacheEvicts,
      hint: expect.stringContaining("evicts: true"),
    });
    round("other", REFILLS_LOST_MAX);
    expect(logger.lines).toHaveLength(1);
    expect(logger.lines[0]).toMatchObject({ level: "error", fields: { code: "IS2010" } });
  });

  it("does not by many keys that are gone once, nor by one that never came back in between", () => {
    const { losses, round } = bench();
    for (let i = 0; i < 100; i++) expect(round(`k${i}`, 1)).toEqual([false]);
    for (let i = 0; i < 10; i++) expect(losses.lost("k1")).toBe(false);
    for (let i = 0; i < 10; i++) expect(losses.lost("never refilled")).toBe(false);
    expect(losses.problem).toBeUndefined();
  });

  it("does not by losses that lie far apart, or behind restarts of the whole cache", () => {
    const { clock, losses, round } = bench();
    for (let i = 0; i < 5; i++) {
      round("k", REFILLS_LOST_MAX - 1);
      clock.advance(REFILLS_LOST_MS + 1);
    }
    for (let i = 0; i < 5; i++) {
      round("k", REFILLS_LOST_MAX - 1);
      losses.restarted();
    }
    expect(losses.problem).toBeUndefined();
  });

  it("is watched by a bounded number of keys (I12)", () => {
    const { losses, round } = bench();
    for (let i = 0; i < REFILLED_KEYS_MAX; i++) losses.refilled(`k${i}`);
    round("beyond", REFILLS_LOST_MAX);
    expect(losses.problem).toBeUndefined();
    round("k7", REFILLS_LOST_MAX);
    expect(losses.problem).toBeDefined();
  });
});

describe("a cache that loses what was reported", () => {
  it("is taken for one that may do so again for a day, also by the next process, and told once", () => {
    const { clock, logger, losses, started } = bench();
    expect(losses.areKnown).toBe(false);
    for (let i = 0; i < 10; i++) losses.lostReported(`k${i}`);
    expect(losses.areKnown).toBe(true);
    expect(losses.problem).toBeUndefined();
    expect(logger.lines).toHaveLength(1);
    expect(logger.lines[0]).toMatchObject({
      level: "warn",
      message: expect.stringContaining("evicts: true"),
    });
    clock.advance(UNTOLD_LOSS_MS - 1);
    expect(started().areKnown).toBe(true);
    clock.advance(1);
    expect([losses.areKnown, started().areKnown]).toEqual([false, false]);
  });

  it("is none once events told late why of each, but for what they tell much later", () => {
    const { clock, losses } = bench();
    for (const key of ["a", "b"]) losses.lostReported(key);
    clock.advance(LATE_EVENT_MS_MAX);
    losses.explained("a");
    expect(losses.areKnown).toBe(true);
    losses.explained("b");
    expect(losses.areKnown).toBe(false);
    losses.lostReported("c");
    clock.advance(LATE_EVENT_MS_MAX + 1);
    losses.lostReported("d");
    for (const key of ["c", "d"]) losses.explained(key);
    expect(losses.areKnown).toBe(true);
  });

  it("is one whose refilled copies were gone again and again too", () => {
    const { losses, round, started } = bench();
    round("k", REFILLS_LOST_MAX);
    expect([losses.areKnown, started().areKnown]).toEqual([true, true]);
  });
});
