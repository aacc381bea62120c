import { ErrorCode, IsthmusError } from "../topology/errors.ts";
import { REFILLED_KEYS_MAX, REFILLS_LOST_MAX, REFILLS_LOST_MS } from "../topology/limits.ts";
import type { CacheName } from "../topology/names.ts";
import type { Clock, Logger } from "../topology/ports.ts";
import type { Key } from "../topology/version/entry.ts";

interface Refill {
  /** Whether it was given a copy since it was last found without one. */
  isBack: boolean;
  lost: number;
}

/**
 * Finds out that a cache evicts though the file does not say so: what was refilled from the peers is gone again, again and
 * again, and no event told why. To go on refilling would push other entries out, for ever. Looks at some keys only (I12).
 */
export class Refills {
  readonly #cache: CacheName;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #keys = new Map<Key, Refill>();
  /** Monotonic ms: what is older is none of the present's business. */
  #since = 0;
  #problem: IsthmusError | undefined;

  constructor(parts: {
    readonly cache: CacheName;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#cache = parts.cache;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
  }

  /** CacheEvicts once it is found out, until the process ends. */
  get problem(): IsthmusError | undefined {
    return this.#problem;
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
