import type { Ledger } from "../../topology/ports.ts";

/** What a table of the journal keeps at most. */
export interface JournalBounds {
  readonly rowsMax: number;
  /** Of rows and their bytes together. */
  readonly bytesMax: number;
}

/** What a table of the journal holds, and what its bounds took from it. */
export interface JournalSize {
  readonly rows: number;
  readonly bytes: number;
  /** Rows that went because newer ones needed their room, since the ledger was made. */
  readonly dropped: number;
}

interface Meta extends JournalSize {
  /** No row below is left. */
  readonly first: number;
  readonly next: number;
}

const EMPTY: Meta = { first: 1, next: 1, rows: 0, bytes: 0, dropped: 0 };
/** A row without its texts and bytes: numbers, names, hashes. */
const ROW_BYTES = 512;

/**
 * Numbered rows in the ledger, the newest of them: bounded in number and bytes (I12), and what the bounds take is counted
 * (I7). Large bytes are kept beside a row, so that listing does not read them.
 */
export class JournalTable<Row extends object> {
  readonly #ledger: Ledger;
  readonly #name: string;
  readonly #bounds: JournalBounds;

  constructor(ledger: Ledger, name: string, bounds: JournalBounds) {
    this.#ledger = ledger;
    this.#name = name;
    this.#bounds = bounds;
  }

  get size(): JournalSize {
    const { rows, bytes, dropped } = this.#meta;
    return { rows, bytes, dropped };
  }

  /** Staged. `blobs` by name are kept beside the row; resolves to the row's number, which is never used again. */
  add(row: Row, blobs: ReadonlyMap<string, Uint8Array> = new Map()): number {
    let bytes = ROW_BYTES;
    for (const blob of blobs.values()) bytes += blob.length;
    const meta = this.#roomFor(bytes);
    const id = meta.next;
    this.#ledger.setFact(this.#row(id), { row, bytes });
    if (blobs.size > 0) this.#ledger.setFact(this.#blobs(id), copied(blobs));
    this.#meta = { ...meta, next: id + 1, rows: meta.rows + 1, bytes: meta.bytes + bytes };
    return id;
  }

  get(id: number): Row | undefined {
    return this.#stored(id)?.row;
  }

  /** Some of the bytes beside a row. */
  blob(id: number, name: string): Uint8Array | undefined {
    const blobs = this.#ledger.fact(this.#blobs(id)) as Map<string, Uint8Array> | undefined;
    return blobs?.get(name);
  }

  /** Staged: what is known of a row that is kept. */
  set(id: number, row: Row): void {
    const stored = this.#stored(id);
    if (stored !== undefined) this.#ledger.setFact(this.#row(id), { ...stored, row });
  }

  /** Staged: the row is done with. */
  delete(id: number): void {
    const stored = this.#stored(id);
    if (stored === undefined) return;
    this.#forget(id);
    const meta = this.#meta;
    this.#meta = { ...meta, rows: meta.rows - 1, bytes: meta.bytes - stored.bytes };
  }

  /** The rows, newest first. */
  *newest(): Generator<[number, Row]> {
    const { first, next } = this.#meta;
    for (let id = next - 1; id >= first; id--) {
      const row = this.get(id);
      if (row !== undefined) yield [id, row];
    }
  }

  /** What the table holds once the oldest rows have made room. Staged but for the result. */
  #roomFor(bytes: number): Meta {
    const { rowsMax, bytesMax } = this.#bounds;
    let meta = this.#meta;
    while (meta.rows > 0 && (meta.rows >= rowsMax || meta.bytes + bytes > bytesMax)) {
      const id = meta.first;
      const stored = this.#stored(id);
      meta = { ...meta, first: id + 1 };
      if (stored === undefined) continue;
      this.#forget(id);
      const { rows, bytes: before, dropped } = meta;
      meta = { ...meta, rows: rows - 1, bytes: before - stored.bytes, dropped: dropped + 1 };
    }
    return meta;
  }

  #forget(id: number): void {
    this.#ledger.setFact(this.#row(id), undefined);
    this.#ledger.setFact(this.#blobs(id), undefined);
  }

  #stored(id: number): { row: Row; bytes: number } | undefined {
    return this.#ledger.fact(this.#row(id)) as { row: Row; bytes: number } | undefined;
  }

  get #meta(): Meta {
    return (this.#ledger.fact(`journal/${this.#name}`) as Meta | undefined) ?? EMPTY;
  }

  set #meta(meta: Meta) {
    this.#ledger.setFact(`journal/${this.#name}`, meta);
  }

  #row(id: number): string {
    return `journal/${this.#name}/${id}`;
  }

  #blobs(id: number): string {
    return `journal/${this.#name}/${id}/bytes`;
  }
}

/** In memory of their own: they may be views of a whole batch. */
const copied = (blobs: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> =>
  new Map([...blobs].map(([name, blob]) => [name, Uint8Array.from(blob)]));
