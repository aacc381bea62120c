/** The tables of the ledger. A record of the journal names them by their place here. */
export const TABLES = ["meta", "facts", "entries", "outbox"] as const;
export type Table = (typeof TABLES)[number];

/** A row key (latin1) and its row, undefined where the row goes. */
export type Change = [string, Buffer | undefined];

/** What a row takes in memory beyond its key and its bytes: a Buffer, two headers, its place in a map; measured. */
const ROW_OVERHEAD_BYTES = 128;

/** The changes of one table, the last of each key; can be read in key order. */
class Changes {
  readonly rows = new Map<string, Buffer | undefined>();
  /** The keys in order, from the first read in order on. */
  #sorted: string[] | undefined;

  set(key: string, row: Buffer | undefined): void {
    if (this.#sorted && !this.rows.has(key)) {
      this.#sorted.splice(firstFrom(this.#sorted, key), 0, key);
    }
    this.rows.set(key, row);
  }

  forget(key: string): void {
    if (this.rows.delete(key)) this.#sorted?.splice(firstFrom(this.#sorted, key), 1);
  }

  *range(from: string, before: string): Generator<Change> {
    this.#sorted ??= [...this.rows.keys()].sort((a, b) => (a < b ? -1 : 1));
    for (let i = firstFrom(this.#sorted, from); ; i++) {
      const key = this.#sorted[i];
      if (key === undefined || key >= before) return;
      yield [key, this.rows.get(key)];
    }
  }
}

/** What is written in one go: per table, row keys to their rows, or to undefined where the row goes. */
export class Generation {
  readonly #tables: Record<Table, Changes> = {
    meta: new Changes(),
    facts: new Changes(),
    entries: new Changes(),
    outbox: new Changes(),
  };
  /** How many rows it changes. */
  size = 0;
  /** About what it takes in memory. */
  bytes = 0;

  has(table: Table, key: string): boolean {
    return this.#tables[table].rows.has(key);
  }

  get(table: Table, key: string): Buffer | undefined {
    return this.#tables[table].rows.get(key);
  }

  /**
   * Changes a row; undefined removes it. An outbox row that comes and goes within one generation leaves no trace: each has
   * a sequence of its own, so none of that key can be in what was written before.
   */
  set(table: Table, key: string, row: Buffer | undefined): void {
    const changes = this.#tables[table];
    const { rows } = changes;
    const old = rows.get(key);
    if (rows.has(key)) this.#count(-1, key, old);
    if (table === "outbox" && old !== undefined && row === undefined) {
      changes.forget(key);
      return;
    }
    changes.set(key, row);
    this.#count(1, key, row);
  }

  /** Puts the changes of a later generation over these. */
  add(later: Generation): void {
    for (const table of TABLES) {
      for (const [key, row] of later.changes(table)) this.set(table, key, row);
    }
  }

  /** The changes of a table, in no order. */
  changes(table: Table): Iterable<Change> {
    return this.#tables[table].rows;
  }

  /** The changes of a table with `from <= key < before`, in key order. */
  range(table: Table, from: string, before: string): Iterable<Change> {
    return this.#tables[table].range(from, before);
  }

  #count(rows: 1 | -1, key: string, row: Buffer | undefined): void {
    this.size += rows;
    this.bytes += rows * (ROW_OVERHEAD_BYTES + key.length + (row?.length ?? 0));
  }
}

/** Two lists in key order as one; where both change a row, `upper` counts. */
export function* over(upper: Iterable<Change>, lower: Iterable<Change>): Generator<Change> {
  const above = upper[Symbol.iterator]();
  let next = above.next();
  for (const row of lower) {
    while (!next.done && next.value[0] < row[0]) {
      yield next.value;
      next = above.next();
    }
    if (!next.done && next.value[0] === row[0]) {
      yield next.value;
      next = above.next();
    } else yield row;
  }
  while (!next.done) {
    yield next.value;
    next = above.next();
  }
}

/** Where the first key that is not below `key` is, or would be. */
function firstFrom(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
