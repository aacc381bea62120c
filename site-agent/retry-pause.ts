import { backOffMs } from "../topology/back-off.ts";
import { RETRY_MS_MAX, RETRY_MS_MIN } from "../topology/limits.ts";
import type { Clock, Random } from "../topology/ports.ts";
import { Wakeup } from "../topology/wakeup.ts";

/** The pauses between tries of something that is tried for ever; there may be a reason to end one early. */
export class RetryPause {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #early = new Wakeup();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The next try may succeed now: ends the pause, but for its shortest length. */
  end(): void {
    this.#early.call();
  }

  /** Longer after each failure. `failures` is 1 after the first. */
  async wait(failures: number, signal: AbortSignal): Promise<void> {
    const waits = { firstMs: RETRY_MS_MIN, mostMs: RETRY_MS_MAX };
    const pauseMs = backOffMs(failures, waits, this.#random);
    await this.#clock.sleep(RETRY_MS_MIN, signal);
    const over = new AbortController();
    const end = (): void => over.abort();
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    const asleep = this.#clock.sleep(pauseMs - RETRY_MS_MIN, over.signal);
    await Promise.race([asleep, this.#early.wait(over.signal)]);
    end();
    await asleep;
    signal.removeEventListener("abort", end);
  }
}
