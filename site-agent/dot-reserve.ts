import { makeDot, SiteClock } from "../topology/version/dot.ts";
import type { Dot } from "../topology/version/entry.ts";
import type { Clock, Ledger } from "../topology/ports.ts";

const FACT = "dots/reservedUpTo";

/**
 * Keeps the site's clock supplied with dots that are fsynced as reserved before one of them is drawn, so that no dot is
 * ever drawn twice, whatever is lost of the ledger's tail (I6).
 */
export class DotReserve {
  readonly clock: SiteClock;
  readonly #ledger: Ledger;
  #reserving: Promise<void> | undefined;

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger;
    const stored = ledger.fact(FACT);
    this.clock = new SiteClock(clock, typeof stored === "bigint" ? stored : makeDot(0, 0));
  }

  /** Starts above `bound` from now on: dots found in the own log that a lost ledger tail does not know. */
  startAbove(bound: Dot): void {
    this.clock.startAbove(bound);
  }

  /** True when a dot may be drawn now without waiting; keeps the reserve topped up in the background. */
  get mayDraw(): boolean {
    if (this.clock.needsReserve()) void this.#reserve().catch(() => undefined);
    return this.clock.mayDraw();
  }

  /** Resolves when a dot may be drawn. @throws what the ledger's sync throws. */
  async ready(): Promise<void> {
    while (!this.mayDraw) await this.#reserve();
  }

  #reserve(): Promise<void> {
    this.#reserving ??= this.#extend().finally(() => {
      this.#reserving = undefined;
    });
    return this.#reserving;
  }

  async #extend(): Promise<void> {
    const bound = this.clock.nextBound();
    this.#ledger.setFact(FACT, bound);
    await this.#ledger.sync();
    this.clock.reserve(bound);
  }
}
