import { describe, expect, it } from "vitest";
import {
  judgeTarget,
  type OfflineMark,
  type TargetSight,
} from "../../../gateway/status/offline-rule.ts";
import { ONLINE_STEADY_MS } from "../../../topology/limits.ts";

const LIMITS = { afterFailures: 3, afterSilenceMs: 30_000 };
const SOUND: TargetSight = { silenceMs: 100, failures: 0, lacks: undefined, levelMs: 60_000 };
const byRule: OfflineMark = { by: "rule", why: "silent", since: 1, isReturning: true };
const byOperator: OfflineMark = { ...byRule, by: "operator", isReturning: false };
const judged = (
  mark: OfflineMark | undefined,
  sight: Partial<TargetSight>,
  limits: Partial<typeof LIMITS> = {},
): string | undefined => judgeTarget(mark, { ...SOUND, ...sight }, { ...LIMITS, ...limits })?.is;

describe("the take-offline rule", () => {
  it("takes a target by silence alone, without a write that would fail", () => {
    expect(judged(undefined, { silenceMs: 30_000 })).toBeUndefined();
    expect(judged(undefined, { silenceMs: 30_001 })).toBe("take");
  });

  it("takes a target by failures alone, and by none of them when afterFailures is 0", () => {
    expect(judged(undefined, { failures: 2 })).toBeUndefined();
    expect(judged(undefined, { failures: 3 })).toBe("take");
    expect(judged(undefined, { failures: 1_000 }, { afterFailures: 0 })).toBeUndefined();
  });

  it("lets a target that it took come back only level, and only after it stayed so", () => {
    expect(judged(byRule, { levelMs: ONLINE_STEADY_MS - 1 })).toBeUndefined();
    expect(judged(byRule, { levelMs: ONLINE_STEADY_MS })).toBe("return");
    expect(judged(byRule, { lacks: "it has a gap" })).toBeUndefined();
    expect(judged(byRule, { silenceMs: 2_001 })).toBeUndefined();
  });

  it("never brings back what an operator took, until one says so: then as soon as it is level", () => {
    expect(judged(byOperator, {})).toBeUndefined();
    const returning = { ...byOperator, isReturning: true };
    expect(judged(returning, { lacks: "it lags" })).toBeUndefined();
    expect(judged(returning, { levelMs: 0 })).toBe("return");
  });
});
