import { decodeMutation, encodeMutation } from "../../topology/mutation/mutation-codec.ts";
import type { Mutation } from "../../topology/mutation/mutation.ts";
import type { CacheLedger } from "../../topology/ports.ts";
import type { Entry, Key } from "../../topology/version/entry.ts";
import { readEntry, type SiteIds, writeEntry } from "./entry-row.ts";
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
  readonly #sites: SiteIds;
  readonly #prefix: string;
  readonly #writer = new RowWriter();
  readonly #outbox: { lastSeq: number; rows: number; bytes: number };
  readonly #outboxMeta: string;
  /** No row below is left: what was acknowledged need not be stepped over until it is gone from LMDB too. */
  #outboxFirst = 0;

  constructor(store: StagedStore, sites: SiteIds, cacheId: number) {
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
    return row && this.#decode(row, isHashed(key))[1];
  }

  put(key: Key, entry: Entry): void {
    const row = this.#writer.start();
    if (isHashed(key)) row.sized(Buffer.from(key, "latin1"));
    writeEntry(row, entry, this.#sites);
    this.#store.put("entries", entryKey(this.#prefix, key), row.finish());
  }

  delete(key: Key): void {
    this.#store.put("entries", entryKey(this.#prefix, key), undefined);
  }

  page(after: Key | undefined, limit: number): Array<[Key, Entry]> {
    const from = after === undefined ? this.#prefix : nextKey(entryKey(this.#prefix, after));
    const page: Array<[Key, Entry]> = [];
    if (limit < 1) return page;
    const rows = this.#store.committed("entries", from, afterPrefix(this.#prefix));
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
    const row = encodeMutation(record);
    const seq = ++this.#outbox.lastSeq;
    this.#outbox.rows += 1;
    this.#outbox.bytes += row.length;
    this.#store.put("outbox", seqKey(this.#prefix, seq), row);
    this.#putOutboxMeta();
    return seq;
  }

  outbox(
    after: number,
    maxRows: number,
    maxBytes: number,
  ): Array<{ seq: number; record: Mutation; bytes: number }> {
    const rows: Array<{ seq: number; record: Mutation; bytes: number }> = [];
    let total = 0;
    if (maxRows < 1) return rows;
    for (const [rowKey, row] of this.#committedOutbox(after + 1)) {
      if (rows.length > 0 && total + row.length > maxBytes) break;
      total += row.length;
      rows.push({ seq: seqIn(rowKey), record: decodeMutation(row), bytes: row.length });
      if (rows.length >= maxRows) break;
    }
    return rows;
  }

  acknowledge(seq: number): void {
    const beyond = seqKey(this.#prefix, seq + 1);
    for (const [rowKey] of this.#committedOutbox(0)) {
      if (rowKey >= beyond) break;
      this.#drop(rowKey);
    }
    for (const rowKey of this.#stagedOutbox()) if (rowKey < beyond) this.#drop(rowKey);
    this.#outboxFirst = Math.max(this.#outboxFirst, Math.min(seq, this.#outbox.lastSeq) + 1);
    this.#putOutboxMeta();
  }

  outboxSize(): { rows: number; bytes: number; oldestAtMs: number | undefined } {
    const { rows, bytes } = this.#outbox;
    return { rows, bytes, oldestAtMs: rows === 0 ? undefined : this.#oldestAtMs() };
  }

  #oldestAtMs(): number | undefined {
    for (const [, row] of this.#committedOutbox(0)) return decodeMutation(row).at;
    let oldest: string | undefined;
    for (const key of this.#stagedOutbox()) {
      if (oldest === undefined || key < oldest) oldest = key;
    }
    const row = oldest === undefined ? undefined : this.#store.get("outbox", oldest);
    return row && decodeMutation(row).at;
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

  #putOutboxMeta(): void {
    const row = this.#writer.start();
    row.count(this.#outbox.lastSeq);
    row.count(this.#outbox.rows);
    row.count(this.#outbox.bytes);
    this.#store.put("meta", this.#outboxMeta, row.finish());
  }

  #decode(bytes: Buffer, hashed: boolean): [Key, Entry] {
    const row = new RowReader(bytes);
    const key = hashed ? row.sized().toString("latin1") : "";
    const entry = readEntry(row, this.#sites);
    row.done();
    return [key, entry];
  }
}
