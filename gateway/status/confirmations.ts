import { HOLD_BATCHES_MAX } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
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
  readonly outboxSeq: number;
  /** The batch that carries the row; undefined: it is not stored yet. */
  batch: Stored | undefined;
  readonly missing: Set<SiteName>;
  readonly onEnd: (refused: SiteName | undefined) => void;
}

/**
 * Tells when the targets of one cache have applied an outbox row (I5). Rows are published in their order, so a batch that
 * ends at a later row carries it too. What was published in another incarnation of the log confirms nothing.
 */
export class Confirmations {
  #incarnation = "";
  /** The newest batches, oldest first. */
  #batches: Stored[] = [];
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
      for (const wait of this.#waits) if (wait.batch !== undefined) wait.batch = LOST;
    }
    this.#batches.push(batch);
    if (this.#batches.length > HOLD_BATCHES_MAX * 2)
      this.#batches = this.#batches.slice(-HOLD_BATCHES_MAX);
    for (const wait of this.#waits) {
      if (wait.batch !== undefined || wait.outboxSeq > outboxSeq) continue;
      wait.batch = batch;
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
   * Calls `onEnd` once every target has applied the row, perhaps before it returns; or with the target that set aside the
   * batch which carries it.
   */
  wait(
    outboxSeq: number,
    targets: readonly SiteName[],
    onEnd: (refused: SiteName | undefined) => void,
  ): Confirmation {
    const batch = this.#batchOf(outboxSeq);
    const wait: Wait = { outboxSeq, batch, missing: new Set(targets), onEnd };
    this.#waits.add(wait);
    for (const [target, applied] of this.#applied) this.#look(wait, target, applied);
    return { missing: wait.missing, cancel: () => this.#waits.delete(wait) };
  }

  #look(wait: Wait, target: SiteName, applied: AppliedBatches): void {
    const { batch, missing } = wait;
    if (batch === undefined || !missing.has(target) || !contains(applied, batch.seq)) return;
    const isRefused = isAside(applied.aside, batch);
    if (!isRefused) missing.delete(target);
    if (!isRefused && missing.size > 0) return;
    if (this.#waits.delete(wait)) wait.onEnd(isRefused ? target : undefined);
  }

  /** The first batch that reaches as far as the row; undefined: none has yet. */
  #batchOf(outboxSeq: number): Stored | undefined {
    const batches = this.#batches;
    const newest = batches.at(-1);
    if (newest === undefined || newest.outboxSeq < outboxSeq) return undefined;
    let [low, high] = [0, batches.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((batches[middle]?.outboxSeq ?? 0) >= outboxSeq) high = middle;
      else low = middle + 1;
    }
    return batches[low];
  }
}

/** Of a log that is gone: no position reaches it. */
const LOST: Stored = { seq: Number.POSITIVE_INFINITY, counter: 0, outboxSeq: 0 };

/** A log that lost its end gives its sequences again: there the counter alone tells which batch never came. */
const isAside = ({ seqs, counters }: Aside, { seq, counter }: Stored): boolean =>
  seqs.includes(seq) || counters.some(([from, to]) => from <= counter && counter <= to);
