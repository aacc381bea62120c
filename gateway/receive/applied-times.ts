import { APPLIED_TIMES_MAX, APPLIED_TIMES_MS } from "../../topology/limits.ts";

interface Sample {
  readonly seq: number;
  readonly at: number;
}

/** When an applied position passed which sequence, within {@link APPLIED_TIMES_MS}, as far back as its samples reach. */
export class AppliedTimes {
  /** Rising in both. */
  readonly #samples: Sample[] = [];
  /** The newest move, if it is no sample. */
  #pending: Sample | undefined;

  /** The position moved to `seq` at `at`, ms since the epoch. */
  moved(seq: number, at: number): void {
    const last = this.#samples.at(-1);
    // A log that was made anew counts from one, and clocks jump: what was noted says nothing any more.
    if (last !== undefined && (seq < last.seq || at < last.at)) this.#samples.length = 0;
    else if (last !== undefined && at - last.at < APPLIED_TIMES_MS) {
      this.#pending = { seq, at };
      return;
    } else if (this.#pending !== undefined) this.#samples.push(this.#pending);
    this.#pending = undefined;
    this.#samples.push({ seq, at });
    if (this.#samples.length > APPLIED_TIMES_MAX) this.#samples.splice(0, APPLIED_TIMES_MAX / 2);
  }

  /** When the position had passed `seq`, ms since the epoch; undefined: not yet, or longer ago than is known. */
  passed(seq: number): number | undefined {
    const [first] = this.#samples;
    if (first === undefined || seq < first.seq) return undefined;
    const found = this.#samples.find((sample) => sample.seq >= seq);
    if (found !== undefined) return found.at;
    return this.#pending !== undefined && this.#pending.seq >= seq ? this.#pending.at : undefined;
  }
}
