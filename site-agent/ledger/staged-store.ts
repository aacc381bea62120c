import { mkdirSync, statfsSync } from "node:fs";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  LEDGER_CHECKPOINT_BYTES,
  LEDGER_FREE_BYTES_MIN,
  LEDGER_PENDING_BYTES_MAX,
  LEDGER_ROW_GROWTH_BYTES,
  LEDGER_SEGMENT_BYTES,
} from "../../topology/limits.ts";
import { Generation, over, type Table } from "./generation.ts";
import { Journal } from "./journal.ts";
import { LmdbTables } from "./lmdb-tables.ts";

/** How many bytes are free where `path` is. */
export type FreeBytes = (path: string) => number;

const freeOnDisk: FreeBytes = (path) => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

/** What a process or a test sets of a store; the defaults are the file system's word and the limits. */
export interface StoreOptions {
  /**
   * Calls back once all that is ready in this turn of the event loop has run, so that it shares one record. Default: after
   * the present synchronous run.
   */
  readonly afterTurn?: (commit: () => void) => void;
  readonly freeBytes?: FreeBytes | undefined;
  /** Awaited before each transaction of LMDB: says when it happens. */
  readonly beforeCheckpoint?: () => Promise<void>;
  readonly checkpointBytes?: number;
  readonly pendingBytesMax?: number;
  readonly segmentBytes?: number;
}

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

function deferred(): Deferred {
  let resolve = (): void => {};
  let reject = (_reason: Error): void => {};
  const promise = new Promise<void>((onDone, onFailure) => {
    resolve = onDone;
    reject = onFailure;
  });
  // Whoever staged may not wait; the failure is kept and meets the next one who does.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/**
 * Tables with changes staged in memory. What was staged in one turn of the event loop is one generation, and is committed once it
 * is a record of the journal. A **checkpoint** brings LMDB up to date: one transaction for all generations since the last,
 * once they are worth one. So nobody waits for LMDB's flushes, and an outbox row that was acknowledged meanwhile never gets
 * there. Reads see four layers, the upper first: staged, waiting for a checkpoint, in one that runs, LMDB.
 */
export class StagedStore {
  readonly #path: string;
  readonly #freeBytes: FreeBytes;
  readonly #beforeCheckpoint: (() => Promise<void>) | undefined;
  readonly #afterTurn: (commit: () => void) => void;
  readonly #checkpointBytes: number;
  readonly #pendingBytesMax: number;
  readonly #tables: LmdbTables;
  readonly #journal: Journal;
  #staged = new Generation();
  /** What still stages its last word before the commit. */
  readonly #atCommit = new Set<() => void>();
  #committed = deferred();
  #isCommitting = false;
  #waiting: Generation;
  #writing: Generation | undefined;
  #checkpoint: Promise<void> | undefined;
  /** Someone waits for the next checkpoint. */
  #isUrgent = false;
  #broken: IsthmusError | undefined;

  /** Opens or makes the files in directory `path`. @throws IS2021 written in another format. */
  constructor(path: string, options: StoreOptions = {}) {
    mkdirSync(path, { recursive: true });
    this.#path = path;
    this.#freeBytes = options.freeBytes ?? freeOnDisk;
    this.#beforeCheckpoint = options.beforeCheckpoint;
    this.#afterTurn = options.afterTurn ?? queueMicrotask;
    this.#checkpointBytes = options.checkpointBytes ?? LEDGER_CHECKPOINT_BYTES;
    this.#pendingBytesMax = options.pendingBytesMax ?? LEDGER_PENDING_BYTES_MAX;
    const segmentBytes = options.segmentBytes ?? LEDGER_SEGMENT_BYTES;
    this.#tables = new LmdbTables(path);
    try {
      this.#journal = new Journal(path, this.#tables.contained(), segmentBytes);
    } catch (error) {
      void this.#tables.close();
      throw error;
    }
    this.#waiting = this.#journal.replayed;
  }

  /** Bytes of the journal that were no whole record at the opening: commits that a power cut took. */
  get lostBytes(): number {
    return this.#journal.lostBytes;
  }

  get(table: Table, key: string): Buffer | undefined {
    for (const generation of [this.#staged, this.#waiting, this.#writing]) {
      if (generation?.has(table, key)) return generation.get(table, key);
    }
    return this.#tables.get(table, key);
  }

  /** What is staged of a row, undefined if its removal is; `none` if nothing is staged of it. */
  staged(table: Table, key: string): Buffer | undefined | "none" {
    return this.#staged.has(table, key) ? this.#staged.get(table, key) : "none";
  }

  /** The keys staged in a table, in no order, removals included. */
  *stagedKeys(table: Table): Generator<string> {
    for (const [key] of this.#staged.changes(table)) yield key;
  }

  /** Stages a row, or with undefined its removal. @throws IS2023 once a commit has failed. */
  put(table: Table, key: string, row: Buffer | undefined): void {
    if (this.#broken) throw this.#broken;
    this.#staged.set(table, key, row);
    this.#scheduleCommit();
  }

  /** Runs `stage` once before what is staged now is committed, however often it is asked for: a row that changes often. */
  atCommit(stage: () => void): void {
    if (this.#broken) throw this.#broken;
    this.#atCommit.add(stage);
    this.#scheduleCommit();
  }

  #scheduleCommit(): void {
    if (this.#isCommitting) return;
    this.#isCommitting = true;
    this.#afterTurn(() => this.#commitStaged());
  }

  /** The committed rows with `from <= key < before`, in the order of their bytes. */
  *committed(table: Table, from: string, before: string): Generator<[string, Buffer]> {
    const range = [table, from, before] as const;
    let rows = over(this.#writing?.range(...range) ?? [], this.#tables.range(...range));
    if (this.#waiting.size > 0) rows = over(this.#waiting.range(...range), rows);
    for (const [key, row] of rows) if (row) yield [key, row];
  }

  /** Resolves when all that is staged now is committed. @throws IS2023 (rejects) */
  commit(): Promise<void> {
    if (this.#broken) return Promise.reject(this.#broken);
    return this.#isCommitting ? this.#committed.promise : DONE;
  }

  /** As {@link commit}, and on disk. */
  async sync(): Promise<void> {
    await this.commit();
    try {
      await this.#journal.sync();
    } catch (error) {
      throw this.#break(error);
    }
  }

  /** Commits, brings LMDB up to date, and lets go of the files. @throws IS2023 (rejects) if that is what breaks it */
  async close(): Promise<void> {
    const wasBroken = this.#broken !== undefined;
    try {
      if (!wasBroken) await this.commit();
    } finally {
      await this.#drain();
      if (!this.#broken) await this.#tables.flush().catch((error: unknown) => this.#break(error));
      await this.#tables.close();
      await this.#journal.close(this.#broken === undefined);
    }
    if (this.#broken && !wasBroken) throw this.#broken;
  }

  #commitStaged(): void {
    if (!this.#isCommitting) return;
    for (const stage of this.#atCommit) stage();
    this.#atCommit.clear();
    if (this.#mustWait()) {
      // The checkpoint calls again.
      this.#startCheckpoint(true);
      return;
    }
    const [generation, committed] = [this.#staged, this.#committed];
    try {
      if (this.#pending.size === 0) this.#checkRoom(generation);
      if (generation.size > 0) this.#journal.append(generation);
    } catch (error) {
      this.#break(error);
      return;
    }
    this.#staged = new Generation();
    this.#committed = deferred();
    this.#isCommitting = false;
    if (this.#waiting.size === 0) this.#waiting = generation;
    else this.#waiting.add(generation);
    committed.resolve();
    this.#startCheckpoint(false);
  }

  /** What is committed and not yet in LMDB. */
  get #pending(): Size {
    return sum(this.#waiting, this.#writing);
  }

  /** Whether what is staged must wait for a checkpoint: what is ahead of it takes the memory, or the disk's room. */
  #mustWait(): boolean {
    const pending = this.#pending;
    if (pending.size === 0) return false;
    if (pending.bytes >= this.#pendingBytesMax) return true;
    return this.#freeBytes(this.#path) < roomFor(sum(this.#staged, pending));
  }

  #startCheckpoint(isUrgent: boolean): void {
    this.#isUrgent ||= isUrgent;
    if (this.#isCheckpointDue()) this.#checkpoint ??= this.#runCheckpoints();
  }

  #isCheckpointDue(): boolean {
    if (this.#broken || this.#waiting.size === 0) return false;
    return this.#isUrgent || this.#waiting.bytes >= this.#checkpointBytes;
  }

  /** Runs checkpoints until none is due. Never rejects. */
  async #runCheckpoints(): Promise<void> {
    try {
      while (this.#isCheckpointDue()) {
        this.#isUrgent = false;
        await this.#beforeCheckpoint?.();
        const [generation, { seq }] = [this.#waiting, this.#journal];
        this.#checkRoom(generation);
        this.#writing = generation;
        this.#waiting = new Generation();
        await this.#tables.write(generation, seq);
        this.#writing = undefined;
        if (this.#journal.hasBehind(seq)) {
          await this.#tables.flush();
          await this.#journal.dropBehind(seq);
        }
        if (this.#isCommitting) this.#commitStaged();
      }
    } catch (error) {
      this.#break(error);
    } finally {
      this.#checkpoint = undefined;
    }
  }

  /** Brings LMDB up to date, or breaks. Never rejects. */
  async #drain(): Promise<void> {
    do {
      this.#startCheckpoint(true);
      await this.#checkpoint;
    } while (this.#checkpoint || (this.#waiting.size > 0 && !this.#broken));
  }

  /**
   * Refuses to write before the disk is full: LMDB 3.5.6 writes a failed write's message beyond its buffer, which ends the
   * process. What was committed is safe then too, but nobody was told why.
   */
  #checkRoom(generation: Generation): void {
    const wanted = roomFor(generation);
    const free = this.#freeBytes(this.#path);
    if (free < wanted) throw new Error(`${free} bytes are free, ${wanted} are wanted`);
  }

  /** From here on all is refused; what is staged counts for nothing, what is committed stays readable. */
  #break(cause: unknown): IsthmusError {
    this.#broken ??= new IsthmusError(
      ErrorCode.LedgerBroken,
      `the ledger in ${this.#path} could not be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause, hint: "Make room or mend the disk, then restart." },
    );
    this.#committed.reject(this.#broken);
    this.#staged = new Generation();
    this.#atCommit.clear();
    this.#committed = deferred();
    this.#isCommitting = false;
    return this.#broken;
  }
}

const DONE = Promise.resolve();

type Size = Pick<Generation, "size" | "bytes">;

const sum = (a: Size, b: Size | undefined): Size => ({
  size: a.size + (b?.size ?? 0),
  bytes: a.bytes + (b?.bytes ?? 0),
});

/** Bytes that must be free to write this to the journal and to LMDB. */
const roomFor = ({ size, bytes }: Size): number =>
  LEDGER_FREE_BYTES_MIN + size * LEDGER_ROW_GROWTH_BYTES + 2 * bytes;
