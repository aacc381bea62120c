import type { Mutation } from "./mutation/mutation.ts";
import type { CacheName } from "./names.ts";
import type { Entry, Key } from "./version/entry.ts";

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
