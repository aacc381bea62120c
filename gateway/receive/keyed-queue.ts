import type { Key } from "../../topology/version/entry.ts";

/**
 * Order per key, different keys side by side, in a bounded window (I12). Items of one key that wait while an earlier one is
 * worked on are handed over together.
 */
export class KeyedQueue<T> {
  readonly #work: (key: Key, items: readonly T[]) => Promise<void>;
  readonly #keysMax: number;
  readonly #itemsMax: number;
  readonly #waiting = new Map<Key, T[]>();
  readonly #running = new Set<Key>();
  #items = 0;
  #wakeups: Array<() => void> = [];

  /**
   * @param work must not reject
   * @param keysMax keys that are worked on side by side
   * @param itemsMax items in the queue, running ones included, beyond which {@link room} waits
   */
  constructor(
    work: (key: Key, items: readonly T[]) => Promise<void>,
    keysMax: number,
    itemsMax: number,
  ) {
    this.#work = work;
    this.#keysMax = keysMax;
    this.#itemsMax = itemsMax;
  }

  /** Items that wait or are worked on. */
  get size(): number {
    return this.#items;
  }

  /** Adds an item behind those of its key. */
  push(key: Key, item: T): void {
    this.#items += 1;
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) waiting.push(item);
    else this.#waiting.set(key, [item]);
    this.#start();
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (this.#items >= this.#itemsMax) await this.#change();
  }

  /** Resolves when the queue is empty. */
  async drained(): Promise<void> {
    while (this.#items > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakeups.push(resolve));
  }

  #start(): void {
    if (this.#running.size >= this.#keysMax) return;
    for (const [key, items] of this.#waiting) {
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#runOne(key, items);
      if (this.#running.size >= this.#keysMax) return;
    }
  }

  async #runOne(key: Key, items: readonly T[]): Promise<void> {
    await this.#work(key, items);
    this.#running.delete(key);
    this.#items -= items.length;
    const wakeups = this.#wakeups;
    this.#wakeups = [];
    for (const wake of wakeups) wake();
    this.#start();
  }
}
