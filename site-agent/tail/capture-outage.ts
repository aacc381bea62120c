import { CAPTURE_CALM_MS, CAPTURE_FAILURES_TOLD } from "../../topology/limits.ts";
import type { Clock } from "../../topology/ports.ts";

/**
 * Finds the one failure of an outage that is worth a line in the log. While one of several servers fails some captures
 * succeed, so that failures in a row end and begin again all the time: it is all one outage until that stopped for a while.
 */
export class CaptureOutage {
  readonly #clock: Clock;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether an outage begins with this failure, of which there were `failures` in a row by now. */
  beginsWith(failures: number): boolean {
    if (failures < CAPTURE_FAILURES_TOLD) return false;
    const now = this.#clock.monotonic();
    const isNew = now - this.#lastMs > CAPTURE_CALM_MS;
    this.#lastMs = now;
    return isNew;
  }
}
