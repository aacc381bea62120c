import { packMutation, unpackMutation } from "../../topology/mutation/mutation-codec.ts";
import type { Mutation } from "../../topology/mutation/mutation.ts";
import type { CacheLedger, OutboxRows } from "../../topology/ports.ts";
import type { Entry, Key } from "../../topology/version/entry.ts";
import { DecodedEntries } from "./decoded-entries.ts";
import { readEntry, writeEntry } from "./entry-row.ts";
import type { NameIds } from "./name-ids.ts";
import { RowReader, RowWriter } from "./row-bytes.ts";
import {
  after as nextKey,
  afterPrefix,
  cachePrefix,
  entryKey,
  isHashed,
  keyIn,
  seqIn,
  seqKey,
} from "./row-key.ts";
import type { StagedStore } from "./staged-store.ts";

/** One cache's entries and outbox in the store. */
export class LmdbCacheLedger implements CacheLedger {
  readonly #store: StagedStore;
  readonly #sites: NameIds;
  readonly #prefix: string;
  readonly #writer = new RowWriter();
  readonly #decoded = new DecodedEntries();
  readonly #outbox: { lastSeq: number; rows: number; bytes: number };
  readonly #outboxMeta: string;
  /** No row below is left: what was acknowledged need not be stepped over until it is gone from LMDB too. */
  #outboxFirst = 0;

  constructor(store: StagedStore, sites: NameIds, cacheId: number) {
    this.#store = store;
    this.#sites = sites;
    this.#prefix = cachePrefix(cacheId);
    this.#outboxMeta = `outbox:${cacheId}`;
    const meta = store.get("meta", this.#outboxMeta);
    const row = meta && new RowReader(meta);
    this.#outbox = {
      lastSeq: row?.count() ?? 0,
      rows: row?.count() ?? 0,
      bytes: row?.count() ?? 0,
    };
  }

  get(key: Key): Entry | undefined {
    const row = this.#store.get("entries", entryKey(this.#prefix, key));
    return row && (this.#decoded.of(key, row) ?? this.#decode(row, isHashed(key))[1]);
  }

  put(key: Key, entry: Entry): void {
    const row = this.#writer.start();
    if (isHashed(key)) row.sized(Buffer.from(key, "latin1"));
    writeEntry(row, entry, this.#sites);
    const bytes = row.finish();
    this.#store.put("entries", entryKey(this.#prefix, key), bytes);
    this.#decoded.keep(key, bytes, entry);
  }

  delete(key: Key): void {
    this.#store.put("entries", entryKey(this.#prefix, key), undefined);
  }

  page(after: Key | undefined, limit: number, upTo?: Key): Array<[Key, Entry]> {
    const prefix = this.#prefix;
    const from = after === undefined ? prefix : nextKey(entryKey(prefix, after));
    const to = upTo === undefined ? afterPrefix(prefix) : nextKey(entryKey(prefix, upTo));
    const page: Array<[Key, Entry]> = [];
    if (limit < 1 || from >= to) return page;
    const rows = this.#store.committed("entries", from, to);
    for (const [rowKey, committed] of rows) {
      const staged = this.#store.staged("entries", rowKey);
      const row = staged === "none" ? committed : staged;
      if (row === undefined) continue;
      const key = keyIn(rowKey);
      const [inRow, entry] = this.#decode(row, key === undefined);
      page.push([key ?? inRow, entry]);
      if (page.length >= limit) break;
    }
    return page;
  }

  enqueue(record: Mutation, replaces?: number): number {
    if (replaces !== undefined) this.#drop(seqKey(this.#prefix, replaces));
    const row = packMutation(record, this.#sites);
    const seq = ++this.#outbox.lastSeq;
    this.#outbox.rows += 1;
    this.#outbox.bytes += row.length;
    this.#store.put("outbox", seqKey(this.#prefix, seq), row);
    this.#store.atCommit(this.#putOutboxMeta);
    return seq;
  }

  outbox(after: number, maxRows: number, maxBytes: number): OutboxRows {
    const rows: Array<OutboxRows["rows"][number]> = [];
    let total = 0;
    for (const [rowKey, row] of this.#committedOutbox(after + 1)) {
      if (rows.length >= maxRows || (rows.length > 0 && total + row.length > maxBytes)) break;
      total += row.length;
      rows.push({ seq: seqIn(rowKey), packed: row });
    }
    return { sites: this.#sites.names, rows };
  }

  acknowledge(seq: number): void {
    const beyond = seqKey(this.#prefix, seq + 1);
    for (const [rowKey] of this.#committedOutbox(0)) {
      if (rowKey >= beyond) break;
      this.#drop(rowKey);
    }
    for (const rowKey of this.#stagedOutbox()) if (rowKey < beyond) this.#drop(rowKey);
    this.#outboxFirst = Math.max(this.#outboxFirst, Math.min(seq, this.#outbox.lastSeq) + 1);
    this.#store.atCommit(this.#putOutboxMeta);
  }

  outboxSize(): { rows: number; bytes: number; oldestAtMs: number | undefined } {
    const { rows, bytes } = this.#outbox;
    return { rows, bytes, oldestAtMs: rows === 0 ? undefined : this.#oldestAtMs() };
  }

  #oldestAtMs(): number | undefined {
    for (const [, row] of this.#committedOutbox(0)) return this.#unpack(row).at;
    let oldest: string | undefined;
    for (const key of this.#stagedOutbox()) {
      if (oldest === undefined || key < oldest) oldest = key;
    }
    const row = oldest === undefined ? undefined : this.#store.get("outbox", oldest);
    return row && this.#unpack(row).at;
  }

  #unpack(row: Buffer): Mutation {
    return unpackMutation(row, this.#sites.names);
  }

  /** Committed rows from `seq` on whose removal is not staged. */
  *#committedOutbox(seq: number): Generator<[string, Buffer]> {
    const from = seqKey(this.#prefix, Math.max(seq, this.#outboxFirst));
    for (const row of this.#store.committed("outbox", from, afterPrefix(this.#prefix))) {
      if (this.#store.staged("outbox", row[0]) !== undefined) yield row;
    }
  }

  /** Keys of rows that are staged and stay, in no order. */
  *#stagedOutbox(): Generator<string> {
    for (const key of this.#store.stagedKeys("outbox")) {
      if (key.startsWith(this.#prefix) && this.#store.staged("outbox", key)) yield key;
    }
  }

  #drop(rowKey: string): void {
    const row = this.#store.get("outbox", rowKey);
    if (row === undefined) return;
    this.#outbox.rows -= 1;
    this.#outbox.bytes -= row.length;
    this.#store.put("outbox", rowKey, undefined);
  }

  readonly #putOutboxMeta = (): void => {
    const row = this.#writer.start();
    row.count(this.#outbox.lastSeq);
    row.count(this.#outbox.rows);
    row.count(this.#outbox.bytes);
    this.#store.put("meta", this.#outboxMeta, row.finish());
  };

  #decode(bytes: Buffer, hashed: boolean): [Key, Entry] {
    const row = new RowReader(bytes);
    const key = hashed ? row.sized().toString("latin1") : "";
    const entry = readEntry(row, this.#sites);
    row.done();
    return [key, entry];
  }
}
