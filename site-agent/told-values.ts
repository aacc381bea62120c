import { TOLD_VALUES_MAX } from "../topology/limits.ts";
import type { Key, ValueHash } from "../topology/version/entry.ts";
import type { Arrival } from "../topology/version/join.ts";

/**
 * Every value that the logs told of while a lost ledger is rebuilt. A row remembers only what nothing superseded; but what a
 * cache still shows of a key that was written elsewhere meanwhile is a version that was superseded, and never a local change (I6).
 */
export class ToldValues {
  readonly #told = new Set<string>();

  /** Remembers what a log told of a key; false: there is no room left. */
  add(key: Key, arrivals: readonly Arrival[]): boolean {
    for (const { kind, hash } of arrivals) {
      if (kind !== "put") continue;
      if (this.#told.size >= TOLD_VALUES_MAX) return false;
      this.#told.add(`${hash} ${key}`);
    }
    return true;
  }

  /** Whether a log told of this value of the key. */
  has(key: Key, hash: ValueHash): boolean {
    return this.#told.has(`${hash} ${key}`);
  }

  /** A scan has learned what the cache holds. */
  clear(): void {
    this.#told.clear();
  }
}
