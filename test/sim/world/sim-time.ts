import type { SimRandom } from "./sim-random.ts";

interface Timer {
  readonly at: number;
  /** Decides between timers of one moment. */
  readonly tie: number;
  fn: (() => void) | undefined;
}

/**
 * Virtual time: a queue of timers in the order of (time, seeded draw). After each timer every microtask runs to its end,
 * so a run is one sequence of steps that the seed alone decides.
 */
export class SimTime {
  readonly #random: SimRandom;
  readonly #heap: Timer[] = [];
  /** Called after each timer and its microtasks. */
  afterStep: () => void = () => undefined;
  now = 0;
  steps = 0;

  constructor(random: SimRandom) {
    this.#random = random;
  }

  /** Calls `fn` after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.now + Math.max(0, ms), tie: this.#random.next(), fn };
    this.#push(timer);
    return () => {
      timer.fn = undefined;
    };
  }

  /** Runs until `until` (virtual ms), or until `isDone` says so after a step. True if it did. */
  async run(until: number, isDone: () => boolean = () => false): Promise<boolean> {
    for (;;) {
      const timer = this.#heap[0];
      if (timer === undefined || timer.at > until) {
        this.now = Math.max(this.now, until);
        return false;
      }
      this.#pop();
      const { fn } = timer;
      if (fn === undefined) continue;
      this.now = timer.at;
      this.steps += 1;
      fn();
      await microtasks();
      this.afterStep();
      if (isDone()) return true;
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(timer);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, timer)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left === undefined) break;
      let least = left;
      if (right !== undefined && isBefore(right, left)) {
        least = right;
        child += 1;
      }
      if (isBefore(last, least)) break;
      heap[i] = least;
      i = child;
    }
    heap[i] = last;
  }
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.tie < b.tie);

/** Resolves when no microtask is left: nothing in the simulated world does real I/O, so one turn of the loop is enough. */
const microtasks = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
