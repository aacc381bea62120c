import { DOT_RESERVE_MS } from "../topology/limits.ts";
import { makeDot, SiteClock } from "../topology/version/dot.ts";
import type { Dot } from "../topology/version/entry.ts";
import type { Clock, Ledger } from "../topology/ports.ts";

const FACT = "dots/reservedUpTo";

/** A reserve that was found ample is not looked at again for so many ms and questions: a quarter of a block at the most. */
const AMPLE_MS = DOT_RESERVE_MS / 4;
const AMPLE_QUESTIONS = 50_000;

/** How long to wait for a lease that is being renewed, ms. */
const LEASE_POLL_MS = 50;

/**
 * Keeps the site's clock supplied with dots that are fsynced as reserved before one of them is drawn, so that no dot is
 * ever drawn twice, whatever is lost of the ledger's tail (I6).
 */
export class DotReserve {
  readonly clock: SiteClock;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #isActive: () => boolean;
  #reserving: Promise<void> | undefined;
  /** Until then, ms since the epoch, and for so many questions, the reserve is ample. */
  #ampleUntil = 0;
  #ampleFor = 0;

  /** `isActive`: this process holds the site's lease for longer than one operation can take. */
  constructor(ledger: Ledger, clock: Clock, isActive: () => boolean) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#isActive = isActive;
    const stored = ledger.fact(FACT);
    this.clock = new SiteClock(clock, typeof stored === "bigint" ? stored : makeDot(0, 0));
  }

  /** Starts above `bound` from now on: dots found in the own log that a lost ledger tail does not know. */
  startAbove(bound: Dot): void {
    this.clock.startAbove(bound);
    this.#ampleFor = 0;
  }

  /** True when a dot may be drawn and the cache written without waiting; keeps the reserve topped up in the background. */
  get mayDraw(): boolean {
    if (!this.#isActive()) return false;
    const now = this.#clock.now();
    if (this.#ampleFor-- > 0 && now < this.#ampleUntil) return true;
    this.#ampleFor = 0;
    if (this.clock.needsReserve()) {
      void this.#reserve().catch(() => undefined);
      return this.clock.mayDraw();
    }
    this.#ampleUntil = now + AMPLE_MS;
    this.#ampleFor = AMPLE_QUESTIONS;
    return true;
  }

  /** Resolves when a dot may be drawn and the cache written. @throws what the ledger's sync throws. */
  async ready(): Promise<void> {
    while (!this.mayDraw) {
      if (this.#isActive()) await this.#reserve();
      else await this.#clock.sleep(LEASE_POLL_MS);
    }
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
