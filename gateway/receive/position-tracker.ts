import { assert } from "../../topology/errors.ts";
import { POSITION_RANGES_MAX } from "../../topology/limits.ts";

/** How far one cache of one origin's log is applied here. */
export interface Applied {
  /** Every batch of the cache up to this sequence is done. */
  readonly seq: number;
  /** Batches beyond it that are done, as closed ranges of sequences, lowest first. */
  readonly ranges: ReadonlyArray<readonly [number, number]>;
}

/** The newest of what a position passed and was not applied, or not whole. */
export interface Aside {
  /** Batches that were set aside, by their sequences. */
  readonly seqs: readonly number[];
  /** Batches that never came, as closed ranges of their counters. */
  readonly counters: ReadonlyArray<readonly [number, number]>;
}

export const NOTHING_ASIDE: Aside = { seqs: [], counters: [] };

/**
 * The contiguous prefix of batches that are done, and what is done beyond it. Batches of one cache are not neighbours in
 * the log, so contiguous means: no batch that was begun earlier is still open.
 */
export class PositionTracker {
  #seq: number;
  /** Begun, in the order of the log; true once done. */
  readonly #open = new Map<number, boolean>();

  constructor(seq: number) {
    this.#seq = seq;
  }

  /** The contiguous prefix. */
  get seq(): number {
    return this.#seq;
  }

  /** Batches that are begun and not part of the prefix. */
  get open(): number {
    return this.#open.size;
  }

  /** A batch was read; batches are begun in the order of the log. */
  begin(seq: number): void {
    assert(
      seq > this.#seq && !this.#open.has(seq),
      () => `batch ${seq} was begun twice or out of order`,
    );
    this.#open.set(seq, false);
  }

  /** A batch is applied; true if the prefix moved. */
  done(seq: number): boolean {
    assert(this.#open.get(seq) === false, () => `batch ${seq} ended without a begin`);
    this.#open.set(seq, true);
    const before = this.#seq;
    for (const [next, isDone] of this.#open) {
      if (!isDone) break;
      this.#open.delete(next);
      this.#seq = next;
    }
    return this.#seq !== before;
  }

  /** Prefix and at most {@link POSITION_RANGES_MAX} ranges. */
  applied(): Applied {
    const ranges: Array<[number, number]> = [];
    let current: [number, number] | undefined;
    for (const [seq, isDone] of this.#open) {
      if (!isDone) {
        current = undefined;
        continue;
      }
      if (current !== undefined) current[1] = seq;
      else if (ranges.length < POSITION_RANGES_MAX) {
        current = [seq, seq];
        ranges.push(current);
      } else break;
    }
    return { seq: this.#seq, ranges };
  }
}

/** Whether what is applied contains the batch at `first`, or with `last` every batch of the cache from one to the other. */
export function contains({ seq, ranges }: Applied, first: number, last = first): boolean {
  return last <= seq || ranges.some(([from, to]) => from <= first && last <= to);
}
