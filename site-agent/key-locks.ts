import type { Key } from "../topology/version/entry.ts";

/**
 * Capture and apply of one key exclude each other, from the ledger read to the ledger commit; different keys do not wait
 * for each other. First come, first served.
 */
export class KeyLocks {
  readonly #tails = new Map<Key, Promise<void>>();

  /** Keys that are held or waited for. */
  get size(): number {
    return this.#tails.size;
  }

  /** Runs `work` when every earlier work on `key` has ended. */
  async run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    let release!: () => void;
    const mine = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#tails.set(key, mine);
    if (before !== undefined) await before;
    try {
      return await work();
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
      release();
    }
  }
}
