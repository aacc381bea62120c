import { UNCONFIRMED_BATCHES_MAX } from "../../topology/limits.ts";
import type { Applied } from "../receive/position-tracker.ts";
import { contains } from "../receive/position-tracker.ts";

/** What a target has not confirmed yet of one cache: what would be lost if this site died now. */
export interface AtRisk {
  readonly mutations: number;
  readonly bytes: number;
  /** When the oldest of them was published, ms since the epoch; undefined: there is none. */
  readonly oldestAt: number | undefined;
}

interface SentBatch {
  readonly seq: number;
  readonly mutations: number;
  readonly bytes: number;
  readonly at: number;
}

/** Batches that are counted together: those of the cache from sequence `from` to `to`. */
interface SentGroup {
  readonly from: number;
  to: number;
  mutations: number;
  bytes: number;
  readonly at: number;
}

/**
 * The batches of one cache that one target has not confirmed. Bounded: beyond the bound neighbours are counted together,
 * which makes the figures coarser and never smaller (I12).
 */
export class Unconfirmed {
  #sent: SentGroup[] = [];
  #incarnation = "";
  /** Highest sequence that the target confirmed in the present incarnation. */
  #confirmedSeq = 0;

  /** The highest sequence of an incarnation that the target confirmed; 0: none yet. */
  confirmedSeq(incarnation: string): number {
    return incarnation === this.#incarnation ? this.#confirmedSeq : 0;
  }

  /** The log acknowledged a batch. */
  published(incarnation: string, batch: SentBatch): void {
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      this.#confirmedSeq = 0;
      this.#sent = [];
    }
    if (batch.seq <= this.#confirmedSeq) return;
    const last = this.#sent.at(-1);
    if (this.#sent.length >= UNCONFIRMED_BATCHES_MAX && last !== undefined) {
      last.to = batch.seq;
      last.mutations += batch.mutations;
      last.bytes += batch.bytes;
    } else {
      const { seq, mutations, bytes, at } = batch;
      this.#sent.push({ from: seq, to: seq, mutations, bytes, at });
    }
  }

  /** The target announced how far it applied; an announcement of another incarnation confirms nothing. */
  confirmed(incarnation: string, applied: Applied): void {
    if (incarnation !== this.#incarnation) return;
    this.#confirmedSeq = Math.max(this.#confirmedSeq, applied.seq);
    if (this.#sent.length === 0) return;
    this.#sent = this.#sent.filter(({ from, to }) => !contains(applied, from, to));
  }

  /** A resync brought the target all that this site had when its present log ended at `seq`. */
  madeUp(incarnation: string, seq: number): void {
    // What is counted here was sent to a log that is gone.
    if (incarnation !== this.#incarnation) this.#sent = [];
    else this.#sent = this.#sent.filter(({ to }) => to > seq);
  }

  /** The figures now. */
  atRisk(): AtRisk {
    let mutations = 0;
    let bytes = 0;
    for (const batch of this.#sent) {
      mutations += batch.mutations;
      bytes += batch.bytes;
    }
    return { mutations, bytes, oldestAt: this.#sent[0]?.at };
  }
}
