import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { CacheLedger, Ledger, OutboxRows } from "../../../topology/ports.ts";
import type { Mutation } from "../../../topology/mutation/mutation.ts";
import { packMutation, SiteTable } from "../../../topology/mutation/mutation-codec.ts";
import type { CacheName } from "../../../topology/names.ts";
import type { Entry, Key } from "../../../topology/version/entry.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimRandom } from "./sim-random.ts";

interface OutboxRow {
  readonly record: Mutation;
  readonly bytes: number;
}

/** Changes that are committed together; undefined is a removal. Keys are "table\0name" texts. */
type Generation = Map<string, unknown>;

/** Called with each transaction when it is committed: the checkers' view of the ledger. */
export type OnCommit = (changes: ReadonlyMap<string, unknown>, before: LedgerDisk) => void;

/** The rows of one ledger, table by table. */
class Rows {
  readonly #tables = new Map<string, Map<string, unknown>>();

  get(key: string): unknown {
    return this.#tables.get(tableOf(key))?.get(key);
  }

  /** The rows of the table that `prefix` is in. */
  table(prefix: string): ReadonlyMap<string, unknown> {
    return this.#tables.get(tableOf(prefix)) ?? NO_ROWS;
  }

  apply(generation: Generation): void {
    for (const [key, value] of generation) {
      const name = tableOf(key);
      let table = this.#tables.get(name);
      if (table === undefined) {
        table = new Map();
        this.#tables.set(name, table);
      }
      if (value === undefined) table.delete(key);
      else table.set(key, value);
    }
  }

  copy(): Rows {
    const copy = new Rows();
    for (const [name, table] of this.#tables) copy.#tables.set(name, new Map(table));
    return copy;
  }
}

const NO_ROWS: ReadonlyMap<string, unknown> = new Map();

/** The first part of a name, or, of tables that there is one of for each cache, the first two. */
function tableOf(key: string): string {
  const end = key.indexOf("\0");
  const isPerCache = key.startsWith("entry\0") || key.startsWith("outbox\0");
  return key.slice(0, (isPerCache ? key.indexOf("\0", end + 1) : end) + 1);
}

/**
 * What of a ledger outlives its process: the committed rows, and those of them that are on disk. A crash of the process
 * loses what was not committed, a crash of the machine also what was not synced, whole transactions from the newest on.
 */
export class LedgerDisk {
  #rows = new Rows();
  readonly #synced = new Rows();
  #unsynced: Generation[] = [];
  /** Called before each transaction of a process, with what it changes. */
  onCommit: OnCommit = () => undefined;
  /** Nothing can be written any more. */
  isFull = false;
  /** A process is writing a transaction. */
  isWriting = false;

  get(key: string): unknown {
    return this.#rows.get(key);
  }

  /** The rows of the table that `prefix` is in, by their whole names. */
  tableOf(prefix: string): ReadonlyMap<string, unknown> {
    return this.#rows.table(prefix);
  }

  /** The rows whose names begin with `prefix`, without it, in the order of their names. */
  table(prefix: string): Array<[string, unknown]> {
    const rows: Array<[string, unknown]> = [];
    for (const [name, value] of this.tableOf(prefix)) {
      if (name.startsWith(prefix)) rows.push([name.slice(prefix.length), value]);
    }
    return rows.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  commit(generation: Generation): void {
    this.onCommit(generation, this);
    this.#rows.apply(generation);
    this.#unsynced.push(generation);
  }

  /** All that is committed is on disk. */
  synced(): void {
    for (const generation of this.#unsynced) this.#synced.apply(generation);
    this.#unsynced = [];
  }

  /** The power is cut; the first transactions behind the last sync may have reached the disk all the same. */
  loseUnsynced(random: SimRandom): number {
    const lost = this.#unsynced.splice(random.below(this.#unsynced.length + 1));
    this.synced();
    if (lost.length > 0) this.#rows = this.#synced.copy();
    return lost.length;
  }
}

export const entryPrefix = (cache: CacheName): string => `entry\0${cache}\0`;
const outboxPrefix = (cache: CacheName): string => `outbox\0${cache}\0`;
export const FACT_PREFIX = "fact\0";

/** {@link Ledger} of one process over a {@link LedgerDisk}. */
export class SimLedger implements Ledger {
  readonly #disk: LedgerDisk;
  readonly #process: SimProcess;
  readonly #random: SimRandom;
  readonly #caches = new Map<CacheName, SimCacheLedger>();
  #staged: Generation = new Map();
  #waiting: Array<() => void> = [];
  #committing: Generation | undefined;
  #committingDone: Promise<void> = Promise.resolve();
  #begun = false;
  /** The disk was full once. */
  #isBroken = false;

  constructor(disk: LedgerDisk, process: SimProcess, random: SimRandom) {
    this.#disk = disk;
    this.#process = process;
    this.#random = random;
  }

  cache(name: CacheName): CacheLedger {
    let cache = this.#caches.get(name);
    if (cache === undefined) {
      cache = new SimCacheLedger(this, name);
      this.#caches.set(name, cache);
    }
    return cache;
  }

  fact(name: string): unknown {
    return this.read(FACT_PREFIX + name);
  }

  setFact(name: string, value: unknown): void {
    this.stage(FACT_PREFIX + name, value === undefined ? undefined : structuredClone(value));
  }

  *facts(prefix: string): Generator<[string, unknown]> {
    for (const [key, value] of this.all(FACT_PREFIX + prefix)) {
      yield [key.slice(FACT_PREFIX.length), value];
    }
  }

  async commit(): Promise<void> {
    if (this.#isBroken) throw broken();
    if (this.#staged.size > 0) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else await this.#committingDone;
    if (this.#isBroken) throw broken();
  }

  async sync(): Promise<void> {
    await this.commit();
    await this.#process.clock.sleep(this.#random.latency(3));
    this.#disk.synced();
  }

  close(): Promise<void> {
    return this.sync();
  }

  read(key: string): unknown {
    for (const generation of [this.#staged, this.#committing]) {
      if (generation?.has(key) === true) return generation.get(key);
    }
    return this.#disk.get(key);
  }

  stage(key: string, value: unknown): void {
    if (this.#isBroken) throw broken();
    this.#staged.set(key, value);
    if (this.#begun || this.#committing !== undefined) return;
    this.#begun = true;
    // After the present synchronous run: all that it stages is one transaction.
    void Promise.resolve().then(() => this.#begin());
  }

  /** Committed rows that are not staged away, in the order of their keys; `staged`: with those that are only staged. */
  all(prefix: string, staged = true): Array<[string, unknown]> {
    const keys = new Set<string>();
    for (const key of this.#disk.tableOf(prefix).keys()) if (key.startsWith(prefix)) keys.add(key);
    if (staged) {
      for (const generation of [this.#committing, this.#staged]) {
        for (const key of generation?.keys() ?? []) if (key.startsWith(prefix)) keys.add(key);
      }
    }
    const rows: Array<[string, unknown]> = [];
    for (const key of [...keys].sort()) {
      const value = this.read(key);
      if (value !== undefined) rows.push([key, value]);
    }
    return rows;
  }

  /** From here on all is refused; what is staged counts for nothing. */
  #break(): void {
    this.#isBroken = true;
    this.#committing = undefined;
    this.#staged = new Map();
  }

  #begin(): void {
    this.#begun = false;
    if (this.#isBroken) return;
    const generation = this.#staged;
    const waiting = this.#waiting;
    this.#staged = new Map();
    this.#waiting = [];
    this.#committing = generation;
    // It is in the file at some moment before the process hears of it.
    const takes = this.#random.latency(1);
    this.#disk.isWriting = true;
    this.#committingDone = new Promise<void>((resolve) => {
      this.#process.later(takes * this.#random.next(), () => {
        this.#disk.isWriting = false;
        if (this.#disk.isFull) this.#break();
        else this.#disk.commit(generation);
        this.#process.later(takes, () => {
          this.#committing = undefined;
          if (this.#staged.size > 0 && !this.#begun) this.#begin();
          resolve();
          const gone = this.#isBroken ? this.#waiting.splice(0) : [];
          for (const committed of [...waiting, ...gone]) committed();
        });
      });
    });
  }
}

const broken = (): IsthmusError =>
  new IsthmusError(ErrorCode.LedgerBroken, "the disk of the ledger is full");

/** {@link CacheLedger} within a {@link SimLedger}. */
class SimCacheLedger implements CacheLedger {
  readonly #ledger: SimLedger;
  readonly #entries: string;
  readonly #outbox: string;
  readonly #last: string;
  readonly #sites = new SiteTable();

  constructor(ledger: SimLedger, cache: CacheName) {
    this.#ledger = ledger;
    this.#entries = entryPrefix(cache);
    this.#outbox = outboxPrefix(cache);
    this.#last = `meta\0outbox ${cache}`;
  }

  get(key: Key): Entry | undefined {
    return this.#ledger.read(this.#entries + key) as Entry | undefined;
  }

  put(key: Key, entry: Entry): void {
    this.#ledger.stage(this.#entries + key, entry);
  }

  delete(key: Key): void {
    this.#ledger.stage(this.#entries + key, undefined);
  }

  page(after: Key | undefined, limit: number, upTo?: Key): Array<[Key, Entry]> {
    const rows = this.#ledger.all(this.#entries, false) as Array<[string, Entry]>;
    const from = after === undefined ? undefined : this.#entries + after;
    const to = upTo === undefined ? undefined : this.#entries + upTo;
    return rows
      .filter(([key]) => from === undefined || key > from)
      .filter(([key]) => to === undefined || key <= to)
      .slice(0, Math.max(0, limit))
      .map(([key, entry]) => [key.slice(this.#entries.length), entry]);
  }

  enqueue(record: Mutation, replaces?: number): number {
    if (replaces !== undefined) this.#drop(replaces);
    const seq = ((this.#ledger.read(this.#last) as number | undefined) ?? 0) + 1;
    this.#ledger.stage(this.#last, seq);
    const row: OutboxRow = { record, bytes: packMutation(record, this.#sites).length };
    this.#ledger.stage(this.#key(seq), row);
    return seq;
  }

  outbox(after: number, maxRows: number, maxBytes: number): OutboxRows {
    const rows: Array<OutboxRows["rows"][number]> = [];
    let total = 0;
    for (const [key, row] of this.#ledger.all(this.#outbox, false)) {
      const seq = this.#seq(key);
      if (seq <= after) continue;
      const { record, bytes } = row as OutboxRow;
      if (rows.length >= maxRows || (rows.length > 0 && total + bytes > maxBytes)) break;
      total += bytes;
      rows.push({ seq, packed: packMutation(record, this.#sites) });
    }
    return { sites: this.#sites.names, rows };
  }

  acknowledge(seq: number): void {
    for (const [key] of this.#ledger.all(this.#outbox)) {
      if (this.#seq(key) <= seq) this.#ledger.stage(key, undefined);
    }
  }

  outboxSize(): { rows: number; bytes: number; oldestAtMs: number | undefined } {
    const rows = this.#ledger.all(this.#outbox) as Array<[string, OutboxRow]>;
    const bytes = rows.reduce((sum, [, row]) => sum + row.bytes, 0);
    return { rows: rows.length, bytes, oldestAtMs: rows[0]?.[1].record.at };
  }

  #drop(seq: number): void {
    if (this.#ledger.read(this.#key(seq)) === undefined) return;
    this.#ledger.stage(this.#key(seq), undefined);
  }

  #key(seq: number): string {
    return this.#outbox + String(seq).padStart(12, "0");
  }

  #seq(key: string): number {
    return Number(key.slice(this.#outbox.length));
  }
}
