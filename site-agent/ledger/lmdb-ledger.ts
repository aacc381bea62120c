import { mkdirSync } from "node:fs";
import { Packr } from "msgpackr";
import { assert, ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { CacheLedger, Ledger, Logger } from "../../topology/ports.ts";
import { LmdbCacheLedger } from "./cache-ledger.ts";
import { NameIds } from "./name-ids.ts";
import { own, type Owned } from "./owner-socket.ts";
import { afterPrefix } from "./row-key.ts";
import { StagedStore, type StoreOptions } from "./staged-store.ts";

/**
 * The layout of the ledger's files.
 *
 * Changelog: 1 (2026-11-21) the first. 2 (2026-11-21) a journal before LMDB; rows as before.
 * 3 (2026-11-21) outbox rows are packed as in a batch.
 */
export const LEDGER_FORMAT = 3;

/** Facts keep Maps, Sets, bigints and plain objects as they are. */
const packr = new Packr({
  useRecords: true,
  mapsAsObjects: false,
  moreTypes: true,
  int64AsType: "bigint",
  copyBuffers: true,
});

/** What a ledger is given by those who watch it or test it. */
export interface LedgerOptions extends StoreOptions {
  readonly logger?: Logger;
}

/** The ledger in LMDB, with a journal before it. Loses nothing that was committed when its process dies, nothing that was synced at a power cut (I6). */
export class LmdbLedger implements Ledger {
  readonly #owned: Owned;
  readonly #store: StagedStore;
  readonly #sites: NameIds;
  readonly #cacheIds: NameIds;
  readonly #caches = new Map<CacheName, CacheLedger>();
  /** Facts that are a number or a bigint, as staged: some change with each mutation, and are packed once a commit. */
  readonly #numbers = new Map<string, number | bigint>();

  private constructor(owned: Owned, store: StagedStore) {
    this.#owned = owned;
    this.#store = store;
    this.#sites = new NameIds(store, "site");
    this.#cacheIds = new NameIds(store, "cache");
  }

  /**
   * Opens the ledger of `site` in `directory`, or makes it. `pid` is told to a process that finds it open.
   *
   * @throws IS2020 open in another process, IS2021 written in another format, IS2022 another site's.
   */
  static async open(
    directory: string,
    site: SiteName,
    pid: number,
    options: LedgerOptions = {},
  ): Promise<LmdbLedger> {
    mkdirSync(directory, { recursive: true });
    const owned = await own(directory, pid);
    let store: StagedStore | undefined;
    try {
      store = new StagedStore(directory, options);
      await checkOrigin(store, directory, site);
      const { lostBytes } = store;
      if (lostBytes > 0) {
        const what = "the ledger's last commits had not reached the disk when the machine stopped";
        options.logger?.warn({ directory, lostBytes }, what);
      }
      return new LmdbLedger(owned, store);
    } catch (error) {
      await store?.close();
      await owned.release();
      throw error;
    }
  }

  cache(name: CacheName): CacheLedger {
    let cache = this.#caches.get(name);
    if (cache === undefined) {
      cache = new LmdbCacheLedger(this.#store, this.#sites, this.#cacheIds.idOf(name));
      this.#caches.set(name, cache);
    }
    return cache;
  }

  fact(name: string): unknown {
    const number = this.#numbers.get(name);
    if (number !== undefined) return number;
    const row = this.#store.get("facts", factKey(name));
    return row && (packr.unpack(row) as unknown);
  }

  setFact(name: string, value: unknown): void {
    if (typeof value === "number" || typeof value === "bigint") {
      assert(name !== "", "a fact has a name");
      this.#store.atCommit(this.#stageNumbers);
      this.#numbers.set(name, value);
      return;
    }
    this.#numbers.delete(name);
    const row = value === undefined ? undefined : Buffer.from(packr.pack(value));
    this.#store.put("facts", factKey(name), row);
  }

  readonly #stageNumbers = (): void => {
    for (const [name, value] of this.#numbers) {
      this.#store.put("facts", factKey(name), Buffer.from(packr.pack(value)));
    }
    this.#numbers.clear();
  };

  *facts(prefix: string): Generator<[string, unknown]> {
    this.#stageNumbers();
    const from = Buffer.from(prefix, "utf8").toString("latin1");
    const keys = new Set<string>();
    const first = from === "" ? "\x00" : from;
    for (const [key] of this.#store.committed("facts", first, afterPrefix(from))) keys.add(key);
    for (const key of this.#store.stagedKeys("facts")) if (key.startsWith(from)) keys.add(key);
    for (const key of [...keys].sort((a, b) => (a < b ? -1 : 1))) {
      const row = this.#store.get("facts", key);
      const name = Buffer.from(key, "latin1").toString("utf8");
      if (row) yield [name, packr.unpack(row) as unknown];
    }
  }

  commit(): Promise<void> {
    return this.#store.commit();
  }

  sync(): Promise<void> {
    return this.#store.sync();
  }

  async close(): Promise<void> {
    try {
      await this.#store.close();
    } finally {
      await this.#owned.release();
    }
  }
}

function factKey(name: string): string {
  assert(name !== "", "a fact has a name");
  return Buffer.from(name, "utf8").toString("latin1");
}

async function checkOrigin(store: StagedStore, directory: string, site: SiteName): Promise<void> {
  const format = store.get("meta", "format")?.readUInt32BE() ?? 0;
  if (format !== 0 && format !== LEDGER_FORMAT) {
    throw new IsthmusError(
      ErrorCode.LedgerFormat,
      `the ledger in ${directory} has format ${format}, this release reads ${LEDGER_FORMAT}`,
      { hint: "Run the release that wrote it, or start from an empty directory." },
    );
  }
  const owner = store.get("meta", "origin")?.toString("utf8") ?? site;
  if (owner !== site) {
    throw new IsthmusError(
      ErrorCode.LedgerOtherSite,
      `the ledger in ${directory} belongs to site ${owner}, this process serves site ${site}`,
      { hint: "Give each site a directory of its own." },
    );
  }
  if (format === LEDGER_FORMAT) return;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(LEDGER_FORMAT);
  store.put("meta", "format", bytes);
  store.put("meta", "origin", Buffer.from(site, "utf8"));
  await store.sync();
}
