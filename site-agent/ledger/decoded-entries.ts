import type { Entry, Key } from "../../topology/version/entry.ts";

/** How many entries are kept, at most twice. */
const KEPT_MAX = 512;

interface Decoded {
  readonly row: Buffer;
  readonly entry: Entry;
}

/**
 * What the rows written last were made of: a key is read again soon, by its echo or the next write. A row is known by its
 * very buffer, so one that was replaced, or comes from LMDB, is never mistaken.
 */
export class DecodedEntries {
  #young = new Map<Key, Decoded>();
  #old = new Map<Key, Decoded>();

  keep(key: Key, row: Buffer, entry: Entry): void {
    // Value bytes may be a view of a whole batch, which must not stay in memory for one of them.
    if (entry.siblings.some((sibling) => sibling.value !== undefined)) return;
    if (this.#young.size >= KEPT_MAX) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, { row, entry });
  }

  /** What `row`, the present one of `key`, was made of; undefined if it is not kept. */
  of(key: Key, row: Buffer): Entry | undefined {
    const decoded = this.#young.get(key) ?? this.#old.get(key);
    return decoded?.row === row ? decoded.entry : undefined;
  }
}
