import { describe, expect, it } from "vitest";
import { CaptureOutage } from "../../../site-agent/tail/capture-outage.ts";
import { CAPTURE_CALM_MS, CAPTURE_FAILURES_TOLD } from "../../../topology/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** The failures of one streak that were worth telling. */
function told(outage: CaptureOutage, streak: number): number[] {
  const all = Array.from({ length: streak }, (_, i) => i + 1);
  return all.filter((failures) => outage.beginsWith(failures));
}

describe("an outage of capture", () => {
  it("begins with a few failures in a row, not with one, and is told once however long they go on", () => {
    const outage = new CaptureOutage(new ManualClock());
    expect(told(outage, CAPTURE_FAILURES_TOLD - 1)).toEqual([]);
    expect(told(outage, 10 * CAPTURE_FAILURES_TOLD)).toEqual([CAPTURE_FAILURES_TOLD]);
  });

  it("goes on over captures that succeed between its failures, and is told again after a calm", () => {
    const clock = new ManualClock();
    const outage = new CaptureOutage(clock);
    expect(told(outage, CAPTURE_FAILURES_TOLD).length).toBe(1);
    for (let i = 0; i < 10; i++) {
      clock.advance(CAPTURE_CALM_MS);
      expect(told(outage, 2 * CAPTURE_FAILURES_TOLD)).toEqual([]);
    }
    clock.advance(CAPTURE_CALM_MS + 1);
    expect(told(outage, CAPTURE_FAILURES_TOLD).length).toBe(1);
  });
});
