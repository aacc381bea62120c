import { mkdirSync, statfsSync } from "node:fs";
import { type Database, open, type RootDatabase } from "lmdb";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  LEDGER_FREE_BYTES_MIN,
  LEDGER_MAP_BYTES,
  LEDGER_ROW_GROWTH_BYTES,
} from "../../topology/limits.ts";

/** The tables of the ledger's file. */
export const TABLES = ["meta", "facts", "entries", "outbox"] as const;
export type Table = (typeof TABLES)[number];

/** What one transaction writes: per table, row key (latin1) to its bytes, or to undefined if it goes. */
class Generation {
  readonly tables: Record<Table, Map<string, Buffer | undefined>> = {
    meta: new Map(),
    facts: new Map(),
    entries: new Map(),
    outbox: new Map(),
  };
  readonly done = deferred();
  size = 0;
  bytes = 0;
}

/** How many bytes are free where `path` is. */
export type FreeBytes = (path: string) => number;

const freeOnDisk: FreeBytes = (path) => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

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
  return { promise, resolve, reject };
}

type Rows = Database<Buffer, Buffer>;

/**
 * LMDB with changes staged in memory: what was staged in one synchronous run, and what gathers while a transaction runs, is
 * the next transaction. Reads see what is staged.
 *
 * LMDB flushes each transaction before it says that it is committed (measured: with `overlappingSync` one `fdatasync` a
 * transaction), and marks the last flushed state: after a power cut (another boot id) the file opens in that state, never in
 * one between. Without that option, `noSync` alone would commit ten times as fast, but a power cut could then leave a file
 * whose root names pages that were never written. The price is paid once for all that gathered meanwhile.
 */
export class StagedStore {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables: Record<Table, Rows>;
  #staged = new Generation();
  #committing: Generation | undefined;
  #begin: Promise<void> | undefined;
  #broken: IsthmusError | undefined;
  readonly #path: string;
  readonly #freeBytes: FreeBytes;

  /** Opens or makes the file in directory `path`. */
  constructor(path: string, freeBytes: FreeBytes = freeOnDisk) {
    mkdirSync(path, { recursive: true });
    this.#path = path;
    this.#freeBytes = freeBytes;
    this.#root = open<Buffer, Buffer>({
      path,
      noSubdir: false,
      overlappingSync: true,
      // Turn batching would make promises of its own, whose rejections nobody could handle. The store batches itself.
      eventTurnBatching: false,
      mapSize: LEDGER_MAP_BYTES,
      maxDbs: TABLES.length,
      keyEncoding: "binary",
      encoding: "binary",
    });
    const table = (name: Table): Rows =>
      this.#root.openDB<Buffer, Buffer>({ name, keyEncoding: "binary", encoding: "binary" });
    this.#tables = {
      meta: table("meta"),
      facts: table("facts"),
      entries: table("entries"),
      outbox: table("outbox"),
    };
  }

  get(table: Table, key: string): Buffer | undefined {
    const staged = this.staged(table, key);
    return staged === "none" ? this.#tables[table].get(Buffer.from(key, "latin1")) : staged;
  }

  /** What is staged of a row, undefined if its removal is; `none` if nothing is staged of it. */
  staged(table: Table, key: string): Buffer | undefined | "none" {
    for (const generation of [this.#staged, this.#committing]) {
      const rows = generation?.tables[table];
      if (rows?.has(key)) return rows.get(key);
    }
    return "none";
  }

  /** The keys staged in a table, in no order, removals included. */
  stagedKeys(table: Table): Set<string> {
    const keys = new Set(this.#committing?.tables[table].keys());
    for (const key of this.#staged.tables[table].keys()) keys.add(key);
    return keys;
  }

  /** Stages a row, or with undefined its removal. @throws IS2023 once a commit has failed. */
  put(table: Table, key: string, row: Buffer | undefined): void {
    if (this.#broken) throw this.#broken;
    this.#staged.tables[table].set(key, row);
    this.#staged.size++;
    this.#staged.bytes += row?.length ?? 0;
    this.#start();
  }

  /** The committed rows with `from <= key < before`, in the order of their bytes. */
  *committed(table: Table, from: string, before: string): Generator<[string, Buffer]> {
    const range = { start: Buffer.from(from, "latin1"), end: Buffer.from(before, "latin1") };
    for (const { key, value } of this.#tables[table].getRange(range)) {
      yield [Buffer.from(key).toString("latin1"), value];
    }
  }

  /** Resolves when all that is staged now is committed. @throws IS2023 (rejects) */
  async commit(): Promise<void> {
    if (this.#broken) throw this.#broken;
    if (this.#staged.size > 0) await this.#staged.done.promise;
    else await this.#committing?.done.promise;
  }

  /** As {@link commit}, and on disk. */
  async sync(): Promise<void> {
    await this.commit();
    // Typed by hand: the package's types leave `sync` out.
    const root = this.#root as unknown as { sync(done: (error?: Error) => void): void };
    await new Promise<void>((resolve, reject) => {
      root.sync((error) => (error ? reject(this.#break(error)) : resolve()));
    });
  }

  async close(): Promise<void> {
    try {
      if (!this.#broken) await this.sync();
    } finally {
      await this.#root.close();
    }
  }

  #start(): void {
    if (this.#committing || this.#begin) return;
    // After the present synchronous run, so that nothing of it is left for a second transaction.
    this.#begin = Promise.resolve().then(() => {
      this.#begin = undefined;
      return this.#run();
    });
  }

  /** Runs transactions until nothing is staged. Never rejects. */
  async #run(): Promise<void> {
    while (this.#staged.size > 0 && !this.#broken) {
      const generation = this.#staged;
      this.#committing = generation;
      this.#staged = new Generation();
      // Whoever staged may not wait; the failure is kept and meets the next one who does.
      generation.done.promise.catch(() => {});
      try {
        this.#checkRoom(generation);
        await this.#root.batch(() => this.#write(generation));
        this.#root.resetReadTxn();
        this.#committing = undefined;
        generation.done.resolve();
      } catch (error) {
        const broken = this.#break(await causeOf(error));
        for (const lost of [generation, this.#staged]) {
          lost.done.promise.catch(() => {});
          lost.done.reject(broken);
        }
        this.#committing = undefined;
        this.#staged = new Generation();
      }
    }
  }

  /**
   * Refuses a transaction before the disk is full: LMDB 3.5.6 writes a failed write's message beyond its buffer, which ends
   * the process. What was committed is safe then too, but nobody was told why.
   */
  #checkRoom(generation: Generation): void {
    const wanted =
      LEDGER_FREE_BYTES_MIN + generation.size * LEDGER_ROW_GROWTH_BYTES + generation.bytes;
    const free = this.#freeBytes(this.#path);
    if (free < wanted) throw new Error(`${free} bytes are free, ${wanted} are wanted`);
  }

  #write(generation: Generation): void {
    for (const table of TABLES) {
      const rows = this.#tables[table];
      for (const [key, row] of generation.tables[table]) {
        const bytes = Buffer.from(key, "latin1");
        if (row) void rows.put(bytes, row);
        else void rows.remove(bytes);
      }
    }
  }

  #break(cause: unknown): IsthmusError {
    this.#broken ??= new IsthmusError(
      ErrorCode.LedgerBroken,
      `the ledger in ${this.#path} could not be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause, hint: "Make room or mend the disk, then restart." },
    );
    return this.#broken;
  }
}

/** LMDB's rejection says only "Commit failed"; what failed is behind a promise in it. */
async function causeOf(error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<unknown> };
  try {
    await commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}
