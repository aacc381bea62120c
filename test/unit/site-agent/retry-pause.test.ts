import { describe, expect, it } from "vitest";
import { RetryPause } from "../../../site-agent/retry-pause.ts";
import { RETRY_MS_MAX, RETRY_MS_MIN } from "../../../topology/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { realRandom } from "../../support/real-time.ts";

const STEP_MS = 10;

/** Begins a pause on a clock that stands still; `isOver` says whether it has ended. */
function begun(failures: number, early?: (pause: RetryPause) => void) {
  const clock = new ManualClock();
  const pause = new RetryPause(clock, { ...realRandom, next: () => 1 });
  const ending = new AbortController();
  early?.(pause);
  let isOver = false;
  void pause.wait(failures, ending.signal).then(() => (isOver = true));
  const after = async (ms: number): Promise<boolean> => {
    for (let left = ms; left >= 0; left -= STEP_MS) {
      clock.advance(Math.min(left, STEP_MS));
      // What became due goes on, and may wait for the next.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return isOver;
  };
  return { pause, ending, after };
}

describe("a pause before the next try", () => {
  it("is longer after each failure, up to a limit", async () => {
    const first = begun(1);
    expect(await first.after(2 * RETRY_MS_MIN - 1)).toBe(false);
    expect(await first.after(1)).toBe(true);
    const last = begun(50);
    expect(await last.after(RETRY_MS_MAX - 1)).toBe(false);
    expect(await last.after(1)).toBe(true);
  });

  it("ends early when there is a reason, but not before its shortest length", async () => {
    const told = begun(50);
    expect(await told.after(1_000)).toBe(false);
    told.pause.end();
    expect(await told.after(0)).toBe(true);
    const toldBefore = begun(50, (pause) => pause.end());
    expect(await toldBefore.after(RETRY_MS_MIN - 1)).toBe(false);
    expect(await toldBefore.after(1)).toBe(true);
  });

  it("ends at once when its loop is to end", async () => {
    for (const ms of [0, RETRY_MS_MIN, 1_000]) {
      const { ending, after } = begun(50);
      expect(await after(ms)).toBe(false);
      ending.abort();
      expect(await after(0)).toBe(true);
    }
  });
});
