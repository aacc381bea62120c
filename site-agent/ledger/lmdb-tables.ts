import { type Database, open, type RootDatabase } from "lmdb";
import { LEDGER_MAP_BYTES } from "../../topology/limits.ts";
import { type Generation, type Table, TABLES } from "./generation.ts";

type Rows = Database<Buffer, Buffer>;

/** Row of `meta` with the journal's sequence that the tables contain, 8 bytes. */
const CONTAINED = Buffer.from("journal", "latin1");

/**
 * The ledger's tables in LMDB, each transaction with the journal's sequence that it brings them to.
 *
 * LMDB flushes each transaction (measured: with `overlappingSync` one `fdatasync` a transaction), and marks the last flushed
 * state: after a power cut (another boot id) the file opens in that state, never in one between. Without that option,
 * `noSync` alone would write ten times as fast, but a power cut could then leave a file whose root names pages that were
 * never written.
 */
export class LmdbTables {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables: Record<Table, Rows>;

  /** Opens or makes the file in directory `path`. */
  constructor(path: string) {
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

  /** The journal's sequence that the tables contain. */
  contained(): number {
    return Number(this.#tables.meta.get(CONTAINED)?.readBigUInt64BE() ?? 0n);
  }

  get(table: Table, key: string): Buffer | undefined {
    return this.#tables[table].get(Buffer.from(key, "latin1"));
  }

  /** The rows with `from <= key < before`, in the order of their bytes. */
  *range(table: Table, from: string, before: string): Generator<[string, Buffer]> {
    const range = { start: Buffer.from(from, "latin1"), end: Buffer.from(before, "latin1") };
    for (const { key, value } of this.#tables[table].getRange(range)) {
      yield [Buffer.from(key).toString("latin1"), value];
    }
  }

  /** Resolves when the changes are in the file, all in one transaction, with the sequence that they bring it to. */
  async write(generation: Generation, seq: number): Promise<void> {
    const contained = Buffer.alloc(8);
    contained.writeBigUInt64BE(BigInt(seq));
    try {
      await this.#root.batch(() => {
        void this.#tables.meta.put(CONTAINED, contained);
        for (const table of TABLES) {
          const rows = this.#tables[table];
          for (const [key, row] of generation.changes(table)) {
            const bytes = Buffer.from(key, "latin1");
            if (row) void rows.put(bytes, row);
            else void rows.remove(bytes);
          }
        }
      });
    } catch (error) {
      throw await causeOf(error);
    }
    this.#root.resetReadTxn();
  }

  /** Resolves when all that was written is in the state that a power cut leaves. */
  flush(): Promise<void> {
    // Typed by hand: the package's types leave `sync` out.
    const root = this.#root as unknown as { sync(done: (error?: Error) => void): void };
    return new Promise<void>((resolve, reject) => {
      root.sync((error) => (error ? reject(error) : resolve()));
    });
  }

  close(): Promise<void> {
    return this.#root.close();
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
