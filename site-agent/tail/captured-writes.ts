import type { CacheLedger, CacheListener } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { LocalChanges } from "../local-changes.ts";
import type { Capture } from "./capture.ts";

/** Finds the outbox rows of writes that somebody waits for. A write without an event of its own would not be found. */
export class CapturedWrites {
  /** The listener that is registered now. */
  listener: CacheListener | undefined;
  /** Writers that wait for what they wrote, in this cache. */
  waiting = 0;
  readonly #rows: CacheLedger;
  readonly #capture: Capture;
  readonly #changes: LocalChanges;
  #flushing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(rows: CacheLedger, capture: Capture, changes: LocalChanges) {
    this.#rows = rows;
    this.#capture = capture;
    this.#changes = changes;
  }

  /** Before a write of these keys is sent: the outbox row above which it will be captured. */
  before(keys: readonly Key[] | undefined): number {
    const { newestSeq } = this.#changes;
    if (newestSeq > 0) return newestSeq;
    // Nothing has changed in this run, and rows of earlier ones lie above 0.
    const seqs = keys?.map((key) => this.#rows.get(key)?.outboxSeq ?? 0) ?? [];
    return Math.max(0, ...seqs);
  }

  /**
   * After a write was answered: resolves with the outbox row that is to arrive for the write to be at a target, its own or
   * that of a later change; undefined: nothing has changed since, so it put nothing that is still there.
   *
   * @param keys what it changed; undefined: not known
   * @param since what {@link CapturedWrites.before} said
   * @throws what a listener throws, when none is registered
   */
  async rowOf(keys: readonly Key[] | undefined, since: number): Promise<number | undefined> {
    const [rows, capture, changes] = [this.#rows, this.#capture, this.#changes];
    await this.#flushed();
    if (keys !== undefined) {
      await capture.captured(keys);
      const seqs = keys.map((key) => rows.get(key)?.outboxSeq ?? 0);
      if (seqs.every((seq) => seq > since)) return Math.max(...seqs);
      // Put and removed again before it was looked at, or known to the cache by other bytes than the client's.
    }
    await capture.captured();
    return changes.newestSeq > since ? changes.newestSeq : undefined;
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
