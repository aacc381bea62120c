import type { CacheName, SiteName } from "../../topology/names.ts";
import type { Ledger } from "../../topology/ports.ts";
import type { Dot } from "../../topology/version/entry.ts";

/** Where one cache of one origin's log is applied up to, as the ledger holds it: the one source of truth. */
export interface Position {
  /** The contiguous prefix; 0 before the first batch. */
  readonly seq: number;
  /** Of the last batch that was read; "" before the first. */
  readonly incarnation: string;
  /** The last batch's counter in that incarnation. */
  readonly counter: number;
  /** The origin's newest dot such that it and all before it was applied here. */
  readonly dot: Dot;
  /** Something before it is missing here for good: a dead letter, a gap in the log. */
  readonly isIncomplete: boolean;
  /** No apply was ever begun beyond this sequence. */
  readonly bound: number;
}

const START: Position = {
  seq: 0,
  incarnation: "",
  counter: 0,
  dot: 0n,
  isIncomplete: false,
  bound: 0,
};

/** A sequence in the log that was created then. */
export interface ToldMissing {
  readonly created: string;
  readonly seq: number;
}

/** The positions and apply bounds in a site's ledger. */
export class PositionStore {
  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  get(origin: SiteName, cache: CacheName): Position {
    const stored = this.#ledger.fact(position(origin, cache)) as
      | Omit<Position, "bound">
      | undefined;
    const bound = this.#ledger.fact(applyBound(origin, cache));
    const found = { ...START, ...stored, bound: typeof bound === "number" ? bound : 0 };
    // A small 64-bit number may come back as a number.
    return { ...found, dot: typeof found.dot === "bigint" ? found.dot : 0n };
  }

  /** Staged. */
  set(origin: SiteName, cache: CacheName, value: Omit<Position, "bound">): void {
    this.#ledger.setFact(position(origin, cache), value);
  }

  /** Staged. */
  setBound(origin: SiteName, cache: CacheName, seq: number): void {
    this.#ledger.setFact(applyBound(origin, cache), seq);
  }

  /** The mirror, by its creation time, that a cache's records are applied from: staged, before the first of them is. */
  setMirror(origin: SiteName, cache: CacheName, created: string): void {
    this.#ledger.setFact(appliedFrom(origin, cache), created);
  }

  /** The mirror that {@link setMirror} told last. */
  mirrorOf(origin: SiteName, cache: CacheName): string | undefined {
    return this.#ledger.fact(appliedFrom(origin, cache)) as string | undefined;
  }

  /** Whatever is missing up to this sequence of a log is part of a gap that is opened: staged, with the gap. */
  setToldMissing(origin: SiteName, cache: CacheName, upTo: ToldMissing): void {
    this.#ledger.setFact(toldMissing(origin, cache), upTo);
  }

  /** Up to where all is read, or told of as missing, in the log that was `created` then; 0: nothing is known of it. */
  knownUpTo(origin: SiteName, cache: CacheName, created: string): number {
    const upTo = this.#ledger.fact(toldMissing(origin, cache)) as ToldMissing | undefined;
    return Math.max(this.get(origin, cache).seq, upTo?.created === created ? upTo.seq : 0);
  }

  /** A mirror was made anew from the log's first record: staged. */
  restart(origin: SiteName, cache: CacheName): void {
    this.#ledger.setFact(position(origin, cache), START);
    this.#ledger.setFact(applyBound(origin, cache), 0);
  }
}

const position = (origin: SiteName, cache: CacheName) => `position/${origin}/${cache}`;
const appliedFrom = (origin: SiteName, cache: CacheName) => `mirror/${origin}/${cache}`;
const toldMissing = (origin: SiteName, cache: CacheName) => `missing/${origin}/${cache}`;
const applyBound = (origin: SiteName, cache: CacheName) => `bound/${origin}/${cache}`;
