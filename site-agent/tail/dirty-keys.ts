import type { CacheEvent } from "../../topology/ports.ts";
import type { Key, ValueHash } from "../../topology/version/entry.ts";

/** Why a key is to be read again, with what is known of the newest event. */
export interface Mark {
  readonly cause: "created" | "modified" | "removed" | "expired" | "scan";
  /** Token of the newest event; undefined for removed and for a scan. */
  readonly token: bigint | undefined;
  /** Of an expiry: of what is gone. */
  readonly hash: ValueHash | undefined;
  /** Events that this mark stands for: only a mark of one event can be an echo by itself. */
  readonly events: number;
  /** One of them was reported after a re-run by the server. */
  readonly retried: boolean;
  /** For a scan: when the gap started, ms since the epoch; a change found by it is dated by the entry or by this. */
  readonly gapStart: number | undefined;
  /** For a scan: it found the key in the cache, so a read that finds nothing is old news, or an event is still to come. */
  readonly isThere?: boolean;
  /** Of a removed event: nobody else than this process is known to have removed it. */
  readonly isOurs?: boolean;
  /** A client's removed event came before the newest one, and was not looked at. */
  readonly afterRemove?: boolean;
  /** The same of a modified event. */
  readonly afterModify?: boolean;
  /** How often this key was read for the mark without an answer that fits. */
  readonly attempts: number;
}

/** Whether a client's remove is among what a mark stands for. */
const tellsOfRemove = (mark: Mark): boolean =>
  mark.afterRemove === true || (mark.cause === "removed" && mark.isOurs !== true && !mark.retried);

const tellsOfModify = (mark: Mark): boolean =>
  mark.afterModify === true || mark.cause === "modified";

/** Whether a mark tells of more than that the key came up: of a change of what was there, or its remove by a client. */
export const tellsOfChange = (mark: Mark): boolean => tellsOfModify(mark) || tellsOfRemove(mark);

/**
 * One mark for two: what the newer says, and that the older came before it. A scan that missed the key says less than the
 * event that tells why it is gone.
 */
const joined = (older: Mark, newer: Mark): Mark =>
  newer.cause === "scan" && (older.cause === "removed" || older.cause === "expired")
    ? older
    : {
        ...newer,
        events: older.events + newer.events,
        retried: newer.retried || older.retried,
        afterRemove: newer.afterRemove === true || tellsOfRemove(older),
        afterModify: newer.afterModify === true || tellsOfModify(older),
      };

/** Hash of what an expiry took away; "": something else did, or it was not told. */
export const expiredHash = (mark: Mark | undefined): ValueHash =>
  mark?.cause === "expired" ? (mark.hash ?? "") : "";

/**
 * The keys that may differ from the ledger, each once, in the order of their first mark. Bounded: a mark beyond the bound
 * is refused, and its cache falls into a gap (I12).
 */
export class DirtyKeys {
  readonly #marks = new Map<Key, Mark>();
  /** Keys with a mark that nobody holds, oldest first from `#first` on; one whose mark is gone is passed over. */
  #queue: Key[] = [];
  #first = 0;
  /** Each with the mark that it was taken for. */
  readonly #held = new Map<Key, Mark>();
  readonly #setAside = new Map<Key, Mark>();
  readonly #bound: number;
  readonly #waiting = new Map<Key, (mark: Mark) => void>();

  constructor(bound: number) {
    this.#bound = bound;
  }

  get size(): number {
    return this.#marks.size;
  }

  /**
   * Marks a key by an event; the latest event's token replaces earlier ones. `isOurs`: it tells of a remove that this process
   * may have done. False: the bound is reached.
   */
  markEvent(event: CacheEvent, isOurs = false): boolean {
    const { key, cause, token, hash, retried } = event;
    const before = this.#marks.get(key);
    const mark: Mark = {
      cause,
      token,
      hash,
      events: 1,
      retried,
      gapStart: undefined,
      isOurs,
      afterRemove: false,
      afterModify: false,
      attempts: 0,
    };
    return this.#set(key, before === undefined ? mark : joined(before, mark));
  }

  /** Marks a key by a scan, which found it or missed it; a mark by an event that is there already says more and stays. */
  markScan(key: Key, gapStart: number, isThere: boolean): boolean {
    if (this.#marks.has(key)) return true;
    return this.#set(key, {
      cause: "scan",
      token: undefined,
      hash: undefined,
      events: 0,
      retried: false,
      gapStart,
      isThere,
      attempts: 0,
    });
  }

  /**
   * Puts back a mark whose read did not settle it; a newer one that came meanwhile stays, and stands for both. Also beyond
   * the bound, by no more keys than are read side by side or wait for their next read: a mark must not be lost (I7).
   */
  putBack(key: Key, mark: Mark): void {
    this.#setAside.delete(key);
    const newer = this.#marks.get(key);
    if (newer === undefined) {
      this.#store(key, { ...mark, attempts: mark.attempts + 1 });
      return;
    }
    this.#marks.set(key, joined(mark, newer));
  }

  /** Why a held key is to be read by now: a mark that came since it was taken stands for both, and is taken too. */
  latest(key: Key, mark: Mark): Mark {
    const newer = this.#marks.get(key);
    if (newer === undefined) return mark;
    this.#marks.delete(key);
    const both = joined(mark, newer);
    this.#held.set(key, both);
    return both;
  }

  /** The mark of one key without taking it. */
  peek(key: Key): Mark | undefined {
    return this.#marks.get(key);
  }

  /**
   * What is known of a key's newest event, also while somebody holds the key, waiting for its lock perhaps, or until it is to
   * be read again: who holds the lock learns from it why the key is as it is.
   */
  newest(key: Key): Mark | undefined {
    return this.#marks.get(key) ?? this.#held.get(key) ?? this.#setAside.get(key);
  }

  /** The key is to be read again for this mark, later, until it is put back; undefined: it is not any more. */
  setAside(key: Key, mark: Mark | undefined): void {
    if (mark === undefined) this.#setAside.delete(key);
    else this.#setAside.set(key, mark);
  }

  /** Keys that were taken by {@link takeNext} and not released. */
  get held(): number {
    return this.#held.size;
  }

  isHeld(key: Key): boolean {
    return this.#held.has(key);
  }

  /** Every key that is marked or held, each once. */
  *keys(): Iterable<Key> {
    yield* this.#held.keys();
    for (const key of this.#marks.keys()) if (!this.#held.has(key)) yield key;
  }

  /** Takes the oldest mark whose key nobody holds, and holds the key until {@link release}. */
  takeNext(): [Key, Mark] | undefined {
    while (this.#first < this.#queue.length) {
      const key = this.#queue[this.#first++] as Key;
      const mark = this.#marks.get(key);
      if (mark === undefined || this.#held.has(key)) continue;
      this.#marks.delete(key);
      this.#held.set(key, mark);
      return [key, mark];
    }
    this.#queue = [];
    this.#first = 0;
    return undefined;
  }

  /** Gives a held key back: a mark that came meanwhile can be taken. */
  release(key: Key): void {
    this.#held.delete(key);
    if (this.#marks.has(key)) this.#enqueue(key);
  }

  /** Calls `onMark` at the next mark of `key`; the returned function stops waiting. */
  awaitMark(key: Key, onMark: (mark: Mark) => void): () => void {
    this.#waiting.set(key, onMark);
    return () => {
      if (this.#waiting.get(key) === onMark) this.#waiting.delete(key);
    };
  }

  clear(): void {
    this.#marks.clear();
    this.#setAside.clear();
    this.#queue = [];
    this.#first = 0;
  }

  #set(key: Key, mark: Mark): boolean {
    if (this.#marks.size >= this.#bound && !this.#marks.has(key)) return false;
    this.#store(key, mark);
    return true;
  }

  #store(key: Key, mark: Mark): void {
    const isNew = !this.#marks.has(key);
    this.#marks.set(key, mark);
    if (isNew && !this.#held.has(key)) this.#enqueue(key);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      this.#waiting.delete(key);
      waiting(mark);
    }
  }

  #enqueue(key: Key): void {
    // What was taken is cut off now and then, so that the array does not grow with the time that keys wait in turn.
    if (this.#first > 1_024 && this.#first * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
    this.#queue.push(key);
  }
}
