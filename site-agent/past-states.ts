import { LAGGING_READ_MS_MAX, PAST_STATES_MAX } from "../topology/limits.ts";
import type { CacheState, Clock } from "../topology/ports.ts";
import type { Held, Key, ValueHash } from "../topology/version/entry.ts";
import { sameExpiry } from "./tail/judge.ts";

interface Past {
  /** undefined: the key was missing. */
  readonly held: Held | undefined;
  /** Monotonic ms. */
  readonly until: number;
}

/** How many states of one key are remembered. */
const STATES_MAX = 4;

/**
 * What keys held a moment ago, until the ledger knew of something newer. Two reads of one key may be answered by two
 * replicas, the second of which lags: what it tells is old news, never a local change (I3, I4).
 *
 * Kept in two halves: when the young one has lasted as long as a state counts, or is full, it becomes the old one, and what
 * was the old one is over.
 */
export class PastStates {
  readonly #clock: Clock;
  #young = new Map<Key, readonly Past[]>();
  #old: ReadonlyMap<Key, readonly Past[]> = new Map();
  /** Monotonic ms. */
  #bornAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#bornAt = clock.monotonic();
  }

  /** The row of a key no longer says that it holds `held`. */
  replaced(key: Key, held: Held | undefined): void {
    const now = this.#clock.monotonic();
    if (now - this.#bornAt >= LAGGING_READ_MS_MAX || this.#young.size >= PAST_STATES_MAX / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#bornAt = now;
    }
    const past = { held, until: now + LAGGING_READ_MS_MAX };
    const before = this.#of(key);
    this.#young.set(key, before === undefined ? [past] : [...before.slice(1 - STATES_MAX), past]);
  }

  /** Whether a state is one that the key held a moment ago for certain: by its token, which never comes back. */
  hadToken(key: Key, state: CacheState, hash: ValueHash): boolean {
    const now = this.#clock.monotonic();
    return (this.#of(key) ?? []).some(
      ({ held, until }) =>
        until > now && state.token !== 0n && held?.token === state.token && held.hash === hash,
    );
  }

  /** Whether a state (undefined: missing) is one that the key held a moment ago. */
  has(key: Key, state: CacheState | undefined, hash: ValueHash): boolean {
    const states = this.#of(key);
    if (states === undefined) return false;
    const now = this.#clock.monotonic();
    return states.some(({ held, until }) => {
      if (until <= now) return false;
      if (state === undefined || held === undefined) return state === held;
      if (held.hash !== hash) return false;
      // Tokens are random and never come back; where none is known, a re-put of equal bytes just waits for a second.
      if (held.token !== undefined && held.token !== 0n) return held.token === state.token;
      return sameExpiry(held, state);
    });
  }

  #of(key: Key): readonly Past[] | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }
}
