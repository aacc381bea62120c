import { HOLD_BATCHES_MAX } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { WrittenRows } from "../../topology/ports.ts";
import { type Applied, type Aside, contains } from "../receive/position-tracker.ts";

/** A wait for targets to apply one outbox row. */
export interface Confirmation {
  /** Targets that have not confirmed it yet. */
  readonly missing: ReadonlySet<SiteName>;
  /** Nobody waits any more. */
  cancel(): void;
}

/** How far a target is, and what of it is not there. */
export interface AppliedBatches extends Applied {
  readonly aside: Aside;
}

/** A batch that the log acknowledged. */
interface Stored {
  readonly seq: number;
  readonly counter: number;
  /** The newest outbox row in it. */
  readonly outboxSeq: number;
}

interface Wait {
  rows: WrittenRows;
  /** The batches that carry the rows; undefined: not all of them are stored yet. */
  batches: Batches | undefined;
  readonly missing: Set<SiteName>;
  readonly onEnd: (refused: SiteName | undefined) => void;
}

/** Neighbours among the batches of the cache, from the first to the last. */
interface Batches {
  readonly first: Stored;
  readonly last: Stored;
}

/**
 * Tells when the targets of one cache have applied outbox rows (I5). Rows are published in their order, so a batch that
 * ends at a later row carries it too. What was published in another incarnation of the log confirms nothing.
 */
export class Confirmations {
  #incarnation = "";
  /** The newest batches, oldest first. */
  #batches: Stored[] = [];
  /** The newest row that was published. */
  #published = 0;
  /** The newest row whose batch is remembered no more. */
  #forgotten = 0;
  readonly #applied = new Map<SiteName, AppliedBatches>();
  readonly #waits = new Set<Wait>();

  /** The log acknowledged a batch. */
  published(incarnation: string, { seq, counter, outboxSeq }: Stored): void {
    const batch = { seq, counter, outboxSeq };
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      this.#batches = [];
      this.#applied.clear();
      // Whether the targets got them from the log that is gone nobody tells any more: their writers wait for no end.
      for (const wait of this.#waits)
        if (wait.rows.above < this.#published) wait.batches = { first: LOST, last: LOST };
      this.#forgotten = this.#published;
    }
    this.#batches.push(batch);
    this.#published = outboxSeq;
    if (this.#batches.length > HOLD_BATCHES_MAX * 2) this.#forget();
    for (const wait of this.#waits) {
      if (wait.batches !== undefined || wait.rows.upTo > outboxSeq) continue;
      wait.batches = this.#batchesOf(wait.rows);
      for (const [target, applied] of this.#applied) this.#look(wait, target, applied);
    }
  }

  /** A target announced how far it applied. */
  confirmed(target: SiteName, incarnation: string, applied: AppliedBatches): void {
    // Before the first batch of this run whatever is announced may be of the present log.
    if (this.#incarnation === "") this.#incarnation = incarnation;
    if (incarnation !== this.#incarnation) return;
    const before = this.#applied.get(target);
    // Heartbeats name no ranges, and may come late.
    if (before !== undefined && before.seq > applied.seq) return;
    if (before?.seq === applied.seq && applied.ranges.length === 0 && before.ranges.length > 0)
      return;
    this.#applied.set(target, applied);
    for (const wait of this.#waits) this.#look(wait, target, applied);
  }

  /**
   * Calls `onEnd` once every target has applied the rows, perhaps before it returns; or with the target that set aside one
   * of the batches which carry them.
   */
  wait(
    rows: WrittenRows,
    targets: readonly SiteName[],
    onEnd: (refused: SiteName | undefined) => void,
  ): Confirmation {
    const batches = rows.upTo > this.#published ? undefined : this.#batchesOf(rows);
    const wait: Wait = { rows, batches, missing: new Set(targets), onEnd };
    this.#waits.add(wait);
    for (const [target, applied] of this.#applied) this.#look(wait, target, applied);
    return { missing: wait.missing, cancel: () => this.#waits.delete(wait) };
  }

  /** A row of the outbox was replaced by a later one before it was published. */
  replaced(row: number, by: number): void {
    for (const wait of this.#waits) {
      const { above, upTo } = wait.rows;
      if (above >= row || row > upTo || by <= upTo) continue;
      wait.rows = { above, upTo: by };
      wait.batches = undefined;
    }
  }

  #look(wait: Wait, target: SiteName, applied: AppliedBatches): void {
    const { batches, missing } = wait;
    if (batches === undefined || !missing.has(target)) return;
    const { first, last } = batches;
    if (!contains(applied, first.seq, last.seq)) return;
    const isRefused = isAside(applied.aside, batches);
    if (!isRefused) missing.delete(target);
    if (!isRefused && missing.size > 0) return;
    if (this.#waits.delete(wait)) wait.onEnd(isRefused ? target : undefined);
  }

  #forget(): void {
    const kept = this.#batches.slice(-HOLD_BATCHES_MAX);
    this.#forgotten = this.#batches.at(-HOLD_BATCHES_MAX - 1)?.outboxSeq ?? 0;
    this.#batches = kept;
  }

  /** Of rows that are published. Where the first batch is not remembered, all of the log before the last stands for it. */
  #batchesOf({ above, upTo }: WrittenRows): Batches {
    const last = this.#batchOf(upTo);
    if (above < this.#forgotten) return { first: { ...last, seq: 0 }, last };
    return { first: above + 1 === upTo ? last : this.#batchOf(above + 1), last };
  }

  /** The first of the remembered batches that reaches as far as the row, which is published. */
  #batchOf(row: number): Stored {
    const batches = this.#batches;
    let [low, high] = [0, batches.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((batches[middle]?.outboxSeq ?? 0) >= row) high = middle;
      else low = middle + 1;
    }
    return batches[low] ?? LOST;
  }
}

/** Of a log that is gone: no position reaches it. */
const LOST: Stored = { seq: Number.POSITIVE_INFINITY, counter: 0, outboxSeq: 0 };

/** A log that lost its end gives its sequences again: there the counter alone tells which batch never came. */
const isAside = ({ seqs, counters }: Aside, { first, last }: Batches): boolean =>
  seqs.some((seq) => first.seq <= seq && seq <= last.seq) ||
  counters.some(([from, to]) => from <= last.counter && first.counter <= to);
