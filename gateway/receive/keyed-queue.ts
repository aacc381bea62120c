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
  /** Keys that wait and that nobody works on, oldest first from `#first` on. */
  #ready: Key[] = [];
  #first = 0;
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
    else {
      this.#waiting.set(key, [item]);
      if (!this.#running.has(key)) this.#enqueue(key);
    }
    this.#start();
  }

  get hasRoom(): boolean {
    return this.#items < this.#itemsMax;
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (!this.hasRoom) await this.#change();
  }

  /** Resolves when the queue is empty. */
  async drained(): Promise<void> {
    while (this.#items > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakeups.push(resolve));
  }

  #enqueue(key: Key): void {
    // What was taken is cut off now and then: during a long backlog the array is never empty.
    if (this.#first > 1_024 && this.#first * 2 > this.#ready.length) {
      this.#ready = this.#ready.slice(this.#first);
      this.#first = 0;
    }
    this.#ready.push(key);
  }

  #start(): void {
    while (this.#running.size < this.#keysMax && this.#first < this.#ready.length) {
      const key = this.#ready[this.#first++] as Key;
      const items = this.#waiting.get(key) ?? [];
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#runOne(key, items);
    }
    if (this.#first === this.#ready.length) {
      this.#ready = [];
      this.#first = 0;
    }
  }

  async #runOne(key: Key, items: readonly T[]): Promise<void> {
    await this.#work(key, items);
    this.#ended(key, items);
  }

  #ended(key: Key, items: readonly T[]): void {
    this.#running.delete(key);
    if (this.#waiting.has(key)) this.#enqueue(key);
    this.#items -= items.length;
    const wakeups = this.#wakeups;
    this.#wakeups = [];
    for (const wake of wakeups) wake();
    this.#start();
  }
}
