import type { SiteIndexes } from "../../topology/mutation/mutation-codec.ts";
import type { SiteIds } from "./entry-row.ts";
import type { StagedStore } from "./staged-store.ts";

/** Names as small numbers for as long as the ledger lives; a new name is staged with the first row that uses it. */
export class NameIds implements SiteIds, SiteIndexes {
  readonly #store: StagedStore;
  readonly #prefix: string;
  readonly #names: string[] = [];
  readonly #ids = new Map<string, number>();

  /** Reads the names known so far; `kind` tells this dictionary's rows from those of others. */
  constructor(store: StagedStore, kind: "site" | "cache") {
    this.#store = store;
    this.#prefix = `${kind}:`;
    for (let id = 0; ; id++) {
      const row = store.get("meta", this.#prefix + id);
      if (row === undefined) break;
      this.#know(row.toString("utf8"));
    }
  }

  /** By id. Grows at its end. */
  get names(): readonly string[] {
    return this.#names;
  }

  indexOf(name: string): number {
    return this.idOf(name);
  }

  idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#names.length;
    this.#store.put("meta", this.#prefix + id, Buffer.from(name, "utf8"));
    return this.#know(name);
  }

  siteOf(id: number): string | undefined {
    return this.#names[id];
  }

  #know(name: string): number {
    this.#ids.set(name, this.#names.length);
    return this.#names.push(name) - 1;
  }
}
