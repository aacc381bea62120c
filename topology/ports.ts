import type { Mutation } from "./mutation/mutation.ts";
import type { CacheName } from "./names.ts";
import type { Entry, Expiry, Key, ValueHash } from "./version/entry.ts";

/** Time as the code sees it; the only source of it, so that the simulator can run the real code. */
export interface Clock {
  /** Wall time in ms since the epoch. May jump. */
  now(): number;
  /** Monotonic time in ms from an arbitrary start, with a fraction. Never goes back. */
  monotonic(): number;
  /** Resolves after `ms`, or at once (without an error) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void;
}

/** Randomness as the code sees it. */
export interface Random {
  /** A float in [0, 1). */
  next(): number;
  /** `n` random bytes. */
  bytes(n: number): Buffer;
}

/** Structured log, one line an event. Shape of pino's methods, so that pino fits unchanged. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

/**
 * Durable table of one site's versions and positions. Everything staged in one synchronous run of code is committed in ONE
 * transaction, in the order it was staged; reads see what is staged.
 */
export interface Ledger {
  /** The part of the ledger that holds one cache; the same object for the same name. */
  cache(name: CacheName): CacheLedger;
  /** Small named facts (positions, bounds, last PubAck, floors, clean flag): any msgpack value. */
  fact(name: string): unknown;
  /** Staged; undefined deletes. */
  setFact(name: string, value: unknown): void;
  /** The facts whose names start with `prefix`, in the order of their names. */
  facts(prefix: string): Iterable<[string, unknown]>;
  /**
   * Resolves once all that was staged before the call is committed: it survives a crash of the process, not of the
   * machine. Rejects with IsthmusError when the disk is full or broken; then nothing of it counts and everything later
   * is refused.
   */
  commit(): Promise<void>;
  /** As commit, and on disk: it survives a power cut. */
  sync(): Promise<void>;
  /** Commits and syncs what is staged, then lets go of the files. */
  close(): Promise<void>;
}

/** One cache's rows in a {@link Ledger}: its entries by key, and its outbox. */
export interface CacheLedger {
  get(key: Key): Entry | undefined;
  /** Staged. */
  put(key: Key, entry: Entry): void;
  /** Staged. */
  delete(key: Key): void;
  /** At most `limit` entries in key order, from after `after`. Sees committed rows at least. */
  page(after: Key | undefined, limit: number): Array<[Key, Entry]>;
  /**
   * Appends to the cache's outbox (staged), dropping row `replaces` if given; returns the row's sequence, rising, never
   * reused.
   */
  enqueue(record: Mutation, replaces?: number): number;
  /** The oldest committed rows after `after`, up to `maxRows` and about `maxBytes`. */
  outbox(
    after: number,
    maxRows: number,
    maxBytes: number,
  ): Array<{ seq: number; record: Mutation; bytes: number }>;
  /** Drops rows up to `seq` (staged). */
  acknowledge(seq: number): void;
  /** What waits in the outbox, staged rows included; `oldestAtMs` is the oldest row's `at`. */
  outboxSize(): { rows: number; bytes: number; oldestAtMs: number | undefined };
}

/** What a cache holds for one key, read with its metadata; times in the cache server's clock. */
export interface CacheState extends Expiry {
  readonly value: Buffer;
  /** The server's entry version; 0n: it has none. */
  readonly token: bigint;
  /** When it was written, ms since the epoch; 0 when the metadata has no time (an immortal entry). */
  readonly createdAt: number;
}

/** One change that a listener reported: a hint to read the key again, never the truth. */
export interface CacheEvent {
  readonly key: Key;
  readonly cause: "created" | "modified" | "removed" | "expired";
  /** The entry's new token, undefined for removed. */
  readonly token: bigint | undefined;
  /** Hash of the value in the event, undefined when it carried none. */
  readonly hash: ValueHash | undefined;
  /** The server ran the command again after a change of its topology: there may be an earlier event of the same write. */
  readonly retried: boolean;
}

/** A registered listener: always read, never paused. */
export interface CacheListener {
  /** Resolves with the reason once events may have been missed: the connection broke, or the server closed it. */
  readonly lost: Promise<string>;
  close(): Promise<void>;
}

/** How a conditional write ended; an unknown end is an IsthmusError HotRodTimeout or HotRodServer. */
export type WriteOutcome = "done" | "lost";

/** What a cache is: learned when it is opened. */
export interface CacheInfo {
  /** The storage media type of the values, for the hash and the handshake. */
  readonly mediaType: string;
  /**
   * Identity of each server's present run, address to start stamp: two sets without a common pair are different
   * incarnations of an in-memory cache.
   */
  readonly runs: ReadonlyMap<string, string>;
}

/**
 * One cache of the local Infinispan, by its local name. Values and keys are raw bytes in the cache's own storage media
 * type. Every operation may reject with IsthmusError CacheUnreachable, HotRodTimeout (outcome unknown) or HotRodServer.
 */
export interface CacheConnector {
  /** Learns media types and server runs. @throws CacheMissing, CacheObjectStorage, CacheAuthFailed, CacheUnreachable */
  open(): Promise<CacheInfo>;
  /** Present state, undefined when the key is missing. */
  read(key: Key): Promise<CacheState | undefined>;
  /**
   * Writes if the key still has token `expected`, or is missing when `expected` is "missing". Lifespan and max-idle are
   * relative ms, 0 for never.
   */
  write(
    key: Key,
    expected: bigint | "missing",
    value: Uint8Array,
    expiry: { lifespanMs: number; maxIdleMs: number },
  ): Promise<WriteOutcome>;
  /** Removes if the key still has token `expected`; a missing key is "lost". */
  remove(key: Key, expected: bigint): Promise<WriteOutcome>;
  /** Resolves once every later change is sure to be reported. The handler must not block. */
  listen(onEvent: (event: CacheEvent) => void): Promise<CacheListener>;
  /** Every entry once, in chunks; writes made meanwhile may or may not be seen. */
  scan(signal: AbortSignal): AsyncIterable<ReadonlyArray<{ key: Key; state: CacheState }>>;
}

/** All caches of one site's Infinispan, over shared connections. */
export interface CacheSite {
  cache(localName: string): CacheConnector;
  /** Local names of the caches that exist, without Infinispan's internal ones; undefined when the server does not tell. */
  names(): Promise<readonly string[] | undefined>;
  close(): Promise<void>;
}
