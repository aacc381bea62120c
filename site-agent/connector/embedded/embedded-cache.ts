import { PROTOSTREAM } from "../../../topology/hotrod/media-type.ts";
import type { MediaType } from "../../../topology/hotrod/media-type.ts";
import type { Clock, Random } from "../../../topology/ports.ts";
import { CacheCounters } from "./cache-counters.ts";
import { FOREVER, isExpired } from "./entry.ts";
import type { Entry } from "./entry.ts";

/** How an embedded cache is declared. */
export interface EmbeddedCacheOptions {
  readonly name: string;
  /** Default application/x-protostream, as Keycloak's caches. */
  readonly keyMediaType?: MediaType;
  readonly valueMediaType?: MediaType;
  /** Above this many entries the one written longest ago is dropped, without an event. Default: no bound. */
  readonly maxCount?: number;
}

/** What happened to an entry. `entry` is the new one of created and modified, the one that was of removed and expired. */
export interface EntryEvent {
  readonly op: "created" | "modified" | "removed" | "expired";
  readonly key: Buffer;
  /** Undefined: a missing key was removed, which Infinispan reports, too. */
  readonly entry: Entry | undefined;
}

/** How an entry is written. */
export interface WriteOptions {
  /** Ms, or {@link FOREVER}; 0 expires at once. Default: forever. */
  readonly lifespanMs?: number;
  readonly maxIdleMs?: number;
  /** Raise no event. */
  readonly silent?: boolean;
  /** Instead of a fresh one: all entries of one putAll share theirs. */
  readonly token?: bigint;
}

/**
 * One cache in memory, with the semantics of Infinispan's that clients and listeners can see. All is synchronous, so that
 * each operation is atomic. An entry that a read finds expired goes at once; its event waits for {@link flushExpired}, because
 * Infinispan sends it after the answer to the read.
 */
export class EmbeddedCache {
  readonly name: string;
  readonly keyMediaType: MediaType;
  readonly valueMediaType: MediaType;
  readonly counters = new CacheCounters();
  readonly #maxCount: number;
  readonly #clock: Clock;
  readonly #random: Random;
  /** By the key's bytes as latin1; in the order of the last write. */
  readonly #entries = new Map<string, Entry>();
  readonly #subscribers = new Set<(event: EntryEvent) => void>();
  #expired: Entry[] = [];

  constructor(options: EmbeddedCacheOptions, clock: Clock, random: Random) {
    this.name = options.name;
    this.keyMediaType = options.keyMediaType ?? PROTOSTREAM;
    this.valueMediaType = options.valueMediaType ?? PROTOSTREAM;
    this.#maxCount = options.maxCount ?? Number.POSITIVE_INFINITY;
    this.#clock = clock;
    this.#random = random;
  }

  /** Calls `listen` for each event, in order; the returned function ends that. */
  subscribe(listen: (event: EntryEvent) => void): () => void {
    this.#subscribers.add(listen);
    return () => this.#subscribers.delete(listen);
  }

  /** How many entries there are, the expired ones that nobody asked for included. */
  get size(): number {
    return this.#entries.size;
  }

  /** The entry, without counting as a use of it. */
  peek(key: Buffer): Entry | undefined {
    const id = idOf(key);
    const entry = this.#entries.get(id);
    if (entry === undefined || !isExpired(entry, this.#clock.now())) return entry;
    this.#entries.delete(id);
    this.#expired.push(entry);
    return undefined;
  }

  /** The entry, whose idle time begins anew. */
  get(key: Buffer): Entry | undefined {
    const entry = this.peek(key);
    this.counters.read(entry !== undefined);
    if (entry !== undefined) entry.lastUsedMs = this.#clock.now();
    return entry;
  }

  /** Writes the entry; key and value are copied. Returns what was there before. */
  put(key: Buffer, value: Buffer, options: WriteOptions = {}): Entry | undefined {
    const previous = this.peek(key);
    this.flushExpired();
    const nowMs = this.#clock.now();
    const entry: Entry = {
      key: Buffer.from(key),
      value: Buffer.from(value),
      token: options.token ?? this.freshToken(),
      createdMs: nowMs,
      lifespanMs: options.lifespanMs ?? FOREVER,
      maxIdleMs: options.maxIdleMs ?? FOREVER,
      lastUsedMs: nowMs,
    };
    const id = idOf(key);
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    this.counters.stores += 1;
    if (options.silent !== true) {
      this.#emit({ op: previous === undefined ? "created" : "modified", key: entry.key, entry });
    }
    this.#evict();
    return previous;
  }

  /** Removes the entry and returns it. The event is raised even if there was none. */
  remove(key: Buffer, silent = false): Entry | undefined {
    const entry = this.peek(key);
    this.flushExpired();
    this.#entries.delete(idOf(key));
    this.counters.remove(entry !== undefined);
    if (!silent) this.#emit({ op: "removed", key: entry?.key ?? Buffer.from(key), entry });
    return entry;
  }

  /** Removes all, with an event each. */
  clear(silent = false): void {
    this.reap();
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    if (silent) return;
    for (const entry of entries) this.#emit({ op: "removed", key: entry.key, entry });
  }

  /** Every entry that has not expired. */
  *entries(): Iterable<Entry> {
    const nowMs = this.#clock.now();
    for (const entry of this.#entries.values()) if (!isExpired(entry, nowMs)) yield entry;
  }

  /** Removes what has expired, with events. */
  reap(): void {
    const nowMs = this.#clock.now();
    for (const [id, entry] of this.#entries) {
      if (!isExpired(entry, nowMs)) continue;
      this.#entries.delete(id);
      this.#expired.push(entry);
    }
    this.flushExpired();
  }

  /** Raises the events of the entries that were found expired. */
  flushExpired(): void {
    if (this.#expired.length === 0) return;
    const expired = this.#expired;
    this.#expired = [];
    for (const entry of expired) this.#emit({ op: "expired", key: entry.key, entry });
  }

  /** A random token, never 0. */
  freshToken(): bigint {
    for (;;) {
      const token = this.#random.bytes(8).readBigInt64BE();
      if (token !== 0n) return token;
    }
  }

  #evict(): void {
    while (this.#entries.size > this.#maxCount) {
      const [oldest] = this.#entries.keys();
      if (oldest === undefined) return;
      this.#entries.delete(oldest);
      this.counters.evictions += 1;
    }
  }

  #emit(event: EntryEvent): void {
    for (const listen of this.#subscribers) listen(event);
  }
}

function idOf(key: Buffer): string {
  return key.toString("latin1");
}
