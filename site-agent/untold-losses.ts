import { ErrorCode, IsthmusError } from "../topology/errors.ts";
import {
  LATE_EVENT_MS_MAX,
  REFILLED_KEYS_MAX,
  REFILLS_LOST_MAX,
  REFILLS_LOST_MS,
  UNTOLD_LOSS_MS,
} from "../topology/limits.ts";
import type { CacheName } from "../topology/names.ts";
import type { Clock, Logger } from "../topology/ports.ts";
import type { Key } from "../topology/version/entry.ts";
import type { CacheFacts } from "./cache-facts.ts";

interface Refill {
  /** Whether it was given a copy since it was last found without one. */
  isBack: boolean;
  lost: number;
}

/**
 * Finds out that a cache loses entries without an event for it, which the file does not say: it evicts.
 *
 * One sign is that what a listener reported is gone, while that listener goes on to report: from then on what a scan misses is
 * not taken for deleted, for a day, unless its event was only late. The other is that what was refilled from the peers is gone
 * again, again and again: to go on refilling would push other entries out, for ever. Looks at some refilled keys only (I12).
 */
export class UntoldLosses {
  readonly #cache: CacheName;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #facts: CacheFacts;
  readonly #keys = new Map<Key, Refill>();
  /** Keys that a listener reported and that are gone, each with when (monotonic ms) no event can explain it any more. */
  readonly #unexplained = new Map<Key, number>();
  /** The last loss before the first of them. */
  #lossAtBefore: number | undefined;
  /** Monotonic ms: what is older is none of the present's business. */
  #since = 0;
  #problem: IsthmusError | undefined;

  constructor(parts: {
    readonly cache: CacheName;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly facts: CacheFacts;
  }) {
    this.#cache = parts.cache;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#facts = parts.facts;
  }

  /** CacheEvicts once it is found out, until the process ends. */
  get problem(): IsthmusError | undefined {
    return this.#problem;
  }

  /** Whether it lost an entry without an event not long ago, also in an earlier run: an absence is no sign of a delete. */
  get areKnown(): boolean {
    const at = this.#facts.untoldLossAt;
    return at !== undefined && this.#clock.now() - at < UNTOLD_LOSS_MS;
  }

  /** A key is gone that a listener reported, and no event of that listener, which was never lost, told why. */
  lostReported(key: Key): void {
    const wereKnown = this.areKnown;
    const unexplained = this.#unexplained;
    if (!wereKnown) unexplained.clear();
    if (unexplained.size === 0) this.#lossAtBefore = this.#facts.untoldLossAt;
    if (unexplained.size < REFILLED_KEYS_MAX)
      unexplained.set(key, this.#clock.monotonic() + LATE_EVENT_MS_MAX);
    this.#facts.untoldLossAt = this.#clock.now();
    if (wereKnown) return;
    this.#logger.warn(
      {},
      `cache "${this.#cache}" lost an entry without an event: what scans miss is fetched from the peers, and not deleted there, for a day; if it evicts, say \`evicts: true\` for it in the file`,
    );
  }

  /**
   * An event told that a key is gone. If that is why it was, the event was late, and nothing was lost without one: a server
   * that stands still tells nobody what was done meanwhile. Much later it says no more than that a client removed what was
   * not there.
   */
  explained(key: Key): void {
    const until = this.#unexplained.get(key);
    if (until === undefined || until < this.#clock.monotonic()) return;
    this.#unexplained.delete(key);
    if (this.#unexplained.size > 0) return;
    this.#facts.untoldLossAt = this.#lossAtBefore;
    this.#logger.info({}, `an event told late why cache "${this.#cache}" lost an entry`);
  }

  /** A key without a copy here was given one from a peer. */
  refilled(key: Key): void {
    const now = this.#clock.monotonic();
    if (now - this.#since > REFILLS_LOST_MS) {
      this.#keys.clear();
      this.#since = now;
    }
    const refill = this.#keys.get(key);
    if (refill !== undefined) refill.isBack = true;
    else if (this.#keys.size < REFILLED_KEYS_MAX) this.#keys.set(key, { isBack: true, lost: 0 });
  }

  /** A key was found without a copy, and no event told why. True: not for the first time, so it is hardly a delete. */
  lost(key: Key): boolean {
    const refill = this.#keys.get(key);
    if (refill?.isBack !== true) return false;
    refill.isBack = false;
    refill.lost += 1;
    if (refill.lost >= REFILLS_LOST_MAX) this.#found();
    return refill.lost > 1;
  }

  /** The whole cache was restarted: that is why copies are gone. */
  restarted(): void {
    this.#keys.clear();
  }

  #found(): void {
    this.#keys.clear();
    if (this.#problem !== undefined) return;
    this.#lossAtBefore = this.#clock.now();
    this.#facts.untoldLossAt = this.#clock.now();
    this.#problem = new IsthmusError(
      ErrorCode.CacheEvicts,
      `cache "${this.#cache}" loses entries without an event: what the peers gave back was gone again ${REFILLS_LOST_MAX} times`,
      {
        hint: "It evicts: say `evicts: true` for it in the file, or give it room for all entries. Nothing is deleted elsewhere; until the next start its missing entries are not fetched.",
      },
    );
    this.#logger.error(
      { err: this.#problem, code: ErrorCode.CacheEvicts },
      "the cache evicts: its missing entries are fetched no more",
    );
  }
}
