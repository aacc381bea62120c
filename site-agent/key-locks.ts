import type { Key } from "../topology/version/entry.ts";

/**
 * Capture and apply of one key exclude each other, from the ledger read to the ledger commit; different keys do not wait
 * for each other. First come, first served.
 */
export class KeyLocks {
  /** The keys that are held, each with those who wait for it, in order; nearly always nobody does. */
  readonly #held = new Map<Key, Array<() => void> | undefined>();

  /** Keys that are held or waited for. */
  get size(): number {
    return this.#held.size;
  }

  /** Runs `work` when every earlier work on `key` has ended. */
  async run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    if (!this.tryHold(key)) await this.turn(key);
    try {
      return await work();
    } finally {
      this.release(key);
    }
  }

  /** Holds the key until {@link release} if nobody does; false: wait for your {@link turn}. */
  tryHold(key: Key): boolean {
    if (this.#held.has(key)) return false;
    this.#held.set(key, undefined);
    return true;
  }

  /** Resolves when it is the caller's turn on a key that is held: then it holds it until {@link release}. */
  turn(key: Key): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#held.get(key);
      if (waiting === undefined) this.#held.set(key, [resolve]);
      else waiting.push(resolve);
    });
  }

  /** Hands the key to the next in turn: nobody who comes now can be faster. */
  release(key: Key): void {
    const next = this.#held.get(key)?.shift();
    if (next === undefined) this.#held.delete(key);
    else next();
  }
}
