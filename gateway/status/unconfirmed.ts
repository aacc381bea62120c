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
  seq: number;
  mutations: number;
  bytes: number;
  readonly at: number;
}

/**
 * The batches of one cache that one target has not confirmed. Bounded: beyond the bound neighbours are counted together,
 * which makes the figures coarser and never smaller (I12).
 */
export class Unconfirmed {
  #sent: SentBatch[] = [];
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
      last.seq = batch.seq;
      last.mutations += batch.mutations;
      last.bytes += batch.bytes;
    } else this.#sent.push({ ...batch });
  }

  /** The target announced how far it applied; an announcement of another incarnation confirms nothing. */
  confirmed(incarnation: string, applied: Applied): void {
    if (incarnation !== this.#incarnation || this.#sent.length === 0) {
      if (incarnation === this.#incarnation) this.#confirmedSeq = applied.seq;
      return;
    }
    this.#confirmedSeq = Math.max(this.#confirmedSeq, applied.seq);
    this.#sent = this.#sent.filter((batch) => !contains(applied, batch.seq));
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
