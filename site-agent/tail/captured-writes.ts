import type { CacheLedger, CacheListener, Clock, WrittenRows } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { LocalChanges } from "../local-changes.ts";
import type { Capture } from "./capture.ts";

/** What {@link CapturedWrites} needs of its cache. */
export interface CapturedWritesParts {
  readonly rows: CacheLedger;
  readonly capture: Capture;
  readonly changes: LocalChanges;
  readonly clock: Clock;
  /** No gap is open: a scan has found what no event told of. */
  readonly isWhole: () => boolean;
}

/** Where a write began. */
export interface WriteBegun {
  /** The outbox row above which it will be captured. */
  readonly row: number;
  /** How often changes may have been missed by then. */
  readonly misses: number;
  /** How many changes were in no row by then. */
  readonly unsent: number;
}

/** How often a write that may have been missed is looked at, until a scan has ended. */
const LOOK_MS = 10;

/** Finds the outbox rows of writes that somebody waits for. A write without an event of its own would not be found. */
export class CapturedWrites {
  /** Writers that wait for what they wrote, in this cache. */
  waiting = 0;
  readonly #parts: CapturedWritesParts;
  #listener: CacheListener | undefined;
  #misses = 0;
  #flushing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(parts: CapturedWritesParts) {
    this.#parts = parts;
  }

  /** The listener that is registered now. */
  get listener(): CacheListener | undefined {
    return this.#listener;
  }

  set listener(listener: CacheListener | undefined) {
    this.#listener = listener;
    this.mayHaveMissed();
  }

  /** Calls back for each outbox row that a later one replaces before it is published. */
  onReplaced(replaced: (row: number, by: number) => void): void {
    this.#parts.changes.onReplaced = replaced;
  }

  /** A write of now may come to be known by a scan alone. */
  mayHaveMissed(): void {
    this.#misses += 1;
  }

  /** Before a write of these keys is sent. */
  before(keys: readonly Key[] | undefined): WriteBegun {
    const { newestSeq, unsent } = this.#parts.changes;
    const begun = { row: newestSeq, misses: this.#misses, unsent };
    if (newestSeq > 0) return begun;
    // Nothing has changed in this run, and rows of earlier ones lie above 0.
    const { rows } = this.#parts;
    const row = keys?.reduce((most, key) => Math.max(most, rows.get(key)?.outboxSeq ?? 0), 0);
    return { ...begun, row: row ?? 0 };
  }

  /**
   * After a write was answered: resolves once what it did is in the outbox. What the events may have missed a scan is waited
   * for. Who is over at the end is told nothing by it.
   *
   * @param keys what it changed; undefined: not known
   * @param begun what {@link CapturedWrites.before} said
   * @param isOver nobody waits for the answer any longer
   */
  async captured(
    keys: readonly Key[] | undefined,
    begun: WriteBegun,
    isOver: () => boolean,
  ): Promise<void> {
    const { capture, clock, isWhole } = this.#parts;
    while (!isOver()) {
      const misses = this.#misses;
      const isTold = misses === begun.misses;
      // What was written since the listener of now was registered is not for the scan to find: both are waited for.
      if (!(isTold || isWhole()) || !(await this.#isFlushed())) {
        await clock.sleep(LOOK_MS);
        continue;
      }
      const named = isTold ? keys : undefined;
      await capture.captured(named);
      if (named !== undefined && this.#ownRows(named, begun) === undefined)
        await capture.captured();
      if (misses === this.#misses) return;
    }
  }

  /**
   * The outbox rows among which the write is that is captured, or a later change of its keys; undefined: nothing has changed
   * since, so it put nothing that is still there.
   */
  rowsOf(keys: readonly Key[] | undefined, begun: WriteBegun): WrittenRows | undefined {
    const { newestSeq } = this.#parts.changes;
    const own = keys === undefined ? undefined : this.#ownRows(keys, begun);
    // Put and removed again before it was looked at, or known to the cache by other bytes than the client's, a key has no
    // row of its own: then whatever was captured since is waited for.
    if (own !== undefined) return own;
    return newestSeq > begun.row ? { above: begun.row, upTo: newestSeq } : undefined;
  }

  /** Whether the write that is captured may be in no row: what it made of a key was too large to be sent. */
  mayBeUnsent(keys: readonly Key[] | undefined, begun: WriteBegun): boolean {
    if (this.#parts.changes.unsent === begun.unsent) return false;
    return keys === undefined || this.#ownRows(keys, begun) === undefined;
  }

  #ownRows(keys: readonly Key[], { row }: WriteBegun): WrittenRows | undefined {
    let [least, most] = [Number.POSITIVE_INFINITY, 0];
    for (const key of keys) {
      const seq = this.#parts.rows.get(key)?.outboxSeq ?? 0;
      if (seq <= row) return undefined;
      [least, most] = [Math.min(least, seq), Math.max(most, seq)];
    }
    return most === 0 ? undefined : { above: least - 1, upTo: most };
  }

  /** False: no listener is registered, or it is lost. */
  async #isFlushed(): Promise<boolean> {
    try {
      await this.#flushed();
      return true;
    } catch {
      return false;
    }
  }

  /** One flush for all who ask while another is under way: it may have begun before their writes were answered. */
  #flushed(): Promise<void> {
    if (this.#flushing === undefined) return this.#flush();
    this.#next ??= this.#flushing
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#flush();
      });
    return this.#next;
  }

  #flush(): Promise<void> {
    const { listener } = this;
    if (listener === undefined) return Promise.reject(new Error("no listener is registered"));
    const flushing = listener.flushed().finally(() => {
      if (this.#flushing === flushing) this.#flushing = undefined;
    });
    this.#flushing = flushing;
    return flushing;
  }
}
