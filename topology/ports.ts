import type { Mutation } from "./mutation/mutation.ts";
import type { CacheName, SiteName } from "./names.ts";
import type { Context, Dot, Entry, Expiry, Key, ValueHash, Versions } from "./version/entry.ts";
import type { Arrival } from "./version/join.ts";

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

/** Mutations that wait to be published, packed as they go to the log. */
export interface OutboxRows {
  /** The sites that the rows refer to by index. */
  readonly sites: readonly SiteName[];
  readonly rows: ReadonlyArray<{ readonly seq: number; readonly packed: Uint8Array }>;
}

/** Outbox rows, of which a write became one or several: which of them is not known, so all are waited for. */
export interface WrittenRows {
  /** Later than this row. */
  readonly above: number;
  /** At most this row. */
  readonly upTo: number;
}

/** One cache's rows in a {@link Ledger}: its entries by key, and its outbox. */
export interface CacheLedger {
  get(key: Key): Entry | undefined;
  /** Staged. */
  put(key: Key, entry: Entry): void;
  /** Staged. */
  delete(key: Key): void;
  /**
   * At most `limit` entries in key order, from after `after`, none beyond `upTo`. Sees committed rows at least. The order is
   * the same in every ledger.
   */
  page(after: Key | undefined, limit: number, upTo?: Key): Array<[Key, Entry]>;
  /**
   * Appends to the cache's outbox (staged), dropping row `replaces` if given; returns the row's sequence, rising, never
   * reused.
   */
  enqueue(record: Mutation, replaces?: number): number;
  /** The oldest committed rows after `after`, up to `maxRows` and about `maxBytes`. */
  outbox(after: number, maxRows: number, maxBytes: number): OutboxRows;
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
  /** When it was last used, this very read included, ms since the epoch; 0 without a max-idle. */
  readonly lastUsedAt: number;
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
  /**
   * Resolves with the reason once events may have been missed: the connection broke, the server closed it, or the cache is
   * gone. Stays pending after close().
   */
  readonly lost: Promise<string>;
  /**
   * Resolves once every event of a write that was answered before the call was handed over. @throws what an operation throws,
   * when the listener is lost
   */
  flushed(): Promise<void>;
  close(): Promise<void>;
}

/** How a conditional write ended; an unknown end is an IsthmusError HotRodTimeout or HotRodServer. */
export type WriteOutcome = "done" | "lost";

/** What a cache is: learned when it is opened. */
export interface CacheInfo {
  /** The storage media type of the values, for the hash and the handshake. */
  readonly mediaType: string;
  readonly runs: ServerRuns;
}

/**
 * Identity of each cache server's present run, by address; servers that cannot be reached are left out. Two sets without a
 * common run (site-agent/connector/server-run.ts compares stamps) are different incarnations of an in-memory cache.
 */
export type ServerRuns = ReadonlyMap<string, string>;

/**
 * One cache of the local Infinispan, by its local name. Values and keys are raw bytes in the cache's own storage media
 * type. Every operation may reject with IsthmusError CacheUnreachable, HotRodTimeout (outcome unknown) or HotRodServer.
 */
export interface CacheConnector {
  /** Learns media types and server runs. @throws CacheMissing, CacheObjectStorage, CacheAuthFailed, CacheUnreachable */
  open(): Promise<CacheInfo>;
  /** As a server told them when the cluster last changed: cheap, and nothing to judge by, as `open` is. @throws as `open` */
  runs(): Promise<ServerRuns>;
  /** Present state, undefined when the key is missing. */
  read(key: Key): Promise<CacheState | undefined>;
  /**
   * Writes if the key still has token `expected`, or is missing when `expected` is "missing". Token 0 may be taken for any
   * present entry: the caller has just read it. Lifespan and max-idle are relative ms, 0 for never.
   */
  write(
    key: Key,
    expected: bigint | "missing",
    value: Uint8Array,
    expiry: { lifespanMs: number; maxIdleMs: number },
  ): Promise<WriteOutcome>;
  /** Removes if the key still has token `expected` (0: as in `write`); a missing key is "lost". */
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
  /** The text of a protobuf schema that is registered there; undefined: it is not. @throws what an operation throws */
  protobufSchema(file: string): Promise<string | undefined>;
  close(): Promise<void>;
}

/** Where a log or a mirror stands; sequences are the origin's, in both. */
export interface LogState {
  /** The stream's creation time, an opaque text: another one means that the stream was deleted and made anew. */
  readonly created: string;
  /** The oldest sequence still held; `lastSeq + 1` when everything was trimmed, 0 when nothing was ever stored. */
  readonly firstSeq: number;
  /** The newest sequence ever stored; 0 when none was. */
  readonly lastSeq: number;
}

/** A {@link LogState} of a mirror. */
export interface MirrorState extends LogState {
  /** `created` of the origin's log that this mirror was made for: a mirror never follows another one. */
  readonly originCreated: string;
}

/** One record as a log or a mirror holds it. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly payload: Uint8Array;
  /** When the origin's log stored it, ms since the epoch in the origin's NATS server's clock. */
  readonly storedAtMs: number;
}

/** The log has stored the record durably. */
export interface PublishAck {
  readonly seq: number;
  /** The log held that message id already: `seq` is the earlier record's. */
  readonly duplicate: boolean;
}

/** The origin's own log. */
export interface SiteLog {
  /** Creates nothing; undefined: there is no log, `recreate` makes it. @throws NatsUnreachable */
  state(): Promise<LogState | undefined>;
  /**
   * One attempt. Resolves once this site's own log, never another domain's, has stored the record. After a failure the
   * record may be stored all the same: send it again byte-identical with the same `msgId`. Rejects with the signal's reason
   * when that aborts. @throws NatsUnreachable, LogTimeout, LogFull, LogMissing (nobody took it; `state` tells whether the
   * log is really gone), LogRefused
   */
  publish(
    subject: string,
    payload: Uint8Array,
    msgId: string,
    signal: AbortSignal,
  ): Promise<PublishAck>;
  /**
   * Publishes the record that begins this process's term. From then on `publish` stores only while that record is the
   * newest of its subject: a process whose term is over cannot write into the log any more, whatever it believes.
   * @throws as `publish`
   */
  beginTerm(
    subject: string,
    payload: Uint8Array,
    msgId: string,
    signal: AbortSignal,
  ): Promise<PublishAck>;
  /** The newest record of a subject, read from the leader; undefined: none, or no log. @throws NatsUnreachable */
  last(subject: string): Promise<StoredMessage | undefined>;
  /** Deletes the log, if there is one, and makes it anew: every record in it is gone. @throws NatsUnreachable */
  recreate(): Promise<LogState>;
  /** The records of a subject (wildcards allowed) in (afterSeq, upToSeq] that are stored now, in order. @throws NatsUnreachable */
  window(subject: string, afterSeq: number, upToSeq: number): Promise<readonly StoredMessage[]>;
}

/** This site's durable mirror of one origin's log. */
export interface LogMirror {
  /** undefined: no mirror (yet). @throws NatsUnreachable */
  state(): Promise<MirrorState | undefined>;
  /**
   * Deletes mirror and durable consumer and makes both anew, holding what the origin's log has after `afterSeq` (0: all).
   * @throws NatsUnreachable, PeerUnreachable (then there may be no mirror: call again), LogMissing
   */
  recreate(afterSeq: number): Promise<void>;
  /**
   * Records of one subject after `afterSeq`, in order and without a hole, in chunks as they gather; ends when the signal
   * aborts, waits otherwise. Survives reconnects. `created` is the mirror's as the caller knows it.
   * @throws MirrorReplaced once the mirror is missing or its `created` is another
   */
  read(
    subject: string,
    afterSeq: number,
    created: string,
    signal: AbortSignal,
  ): AsyncIterable<readonly StoredMessage[]>;
  /** The records of a subject in (afterSeq, upToSeq] that the mirror holds now, in order. @throws NatsUnreachable */
  window(subject: string, afterSeq: number, upToSeq: number): Promise<readonly StoredMessage[]>;
}

/** Core subjects between the sites: at most once, nothing is kept for who is away. */
export interface Bus {
  /** Sends, or drops it without an error when the site's NATS is not connected. */
  publish(subject: string, payload: Uint8Array): void;
  /** Calls `handler`, which must not throw, for each message; the returned function ends it. */
  subscribe(subject: string, handler: (payload: Uint8Array, subject: string) => void): () => void;
  /** @throws NatsUnreachable, PeerUnreachable (nobody serves it, or no answer in time), PeerRefused (its handler threw) */
  request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Answers requests; what `handler` throws travels back by its code and message. The returned function ends it. */
  serve(subject: string, handler: (payload: Uint8Array) => Promise<Uint8Array>): () => void;
}

/** The lease in the site's own key-value bucket: one active process a site. */
export interface LeaseStore {
  /** Never stale. @throws NatsUnreachable */
  read(): Promise<{ value: Uint8Array; revision: number } | undefined>;
  /**
   * Writes if the lease is still at `expectedRevision` (0: missing); resolves with the new revision, undefined if somebody
   * else was first. @throws NatsUnreachable, LogTimeout (it may be written all the same)
   */
  write(value: Uint8Array, expectedRevision: number): Promise<number | undefined>;
}

/** A site asks the site that wrote a key, its home, to be the one that uses it. */
export interface Claim {
  readonly key: Key;
  /** Of the version that it wants to use. */
  readonly dot: Dot;
  /** Chosen by the claimant, to take the claim back by. */
  readonly id: string;
}

/** `gone`: that version is not what the home has. `busy`: somebody else is using it, and did not end in time. */
export const CLAIM_ANSWERS = ["granted", "gone", "busy"] as const;

/** See {@link CLAIM_ANSWERS}. */
export type ClaimAnswer = (typeof CLAIM_ANSWERS)[number];

/** How an arriving version ended at this site. */
export type ApplyOutcome =
  /** The cache was written. */
  | "written"
  /** The ledger has it, the cache needed no write. */
  | "kept"
  /** It was seen before. */
  | "covered";

/** One key as another site holds it: what resync and the fetching of absent keys exchange. */
export interface PeerEntry {
  readonly key: Key;
  /** undefined: the peer has no entry, only its floor. Siblings that show there carry their values. */
  readonly versions: Versions | undefined;
  readonly floor: Context;
}

/** What a site tells of one key that went idle at another; times are ms since the epoch in the telling site's clock. */
export interface LastUse {
  /** The last use by a client: Isthmus's own reads and writes are none. 0: no copy, or none known. */
  readonly usedAt: number;
  /** When the copy ends if nobody uses it any more; 0: no copy. */
  readonly heldUntil: number;
}

/** One cache of this site, as the gateway uses it. */
export interface CacheHands {
  /**
   * Joins versions of one key, in the order of their log; resolves once cache and ledger have the result, also for one that
   * was seen before. Idempotent. Rejects with what the cache or the ledger threw: try again.
   */
  apply(key: Key, arrivals: readonly Arrival[]): Promise<ApplyOutcome>;
  /** Merges a peer's whole entry. Idempotent; rejects as `apply` does. */
  merge(entry: PeerEntry): Promise<ApplyOutcome>;
  /** What this site would send of these keys: values only where the cache still holds what the ledger says. */
  offer(keys: readonly Key[]): Promise<readonly PeerEntry[]>;
  /** As `offer`, but also of keys without a copy here: their versions alone. Left out: those whose value is not settled. */
  tell(keys: readonly Key[]): Promise<readonly PeerEntry[]>;
  /** When clients of this site last used these keys, in their order. Uses none of them itself. Rejects as `apply` does. */
  lastUses(keys: readonly Key[]): Promise<readonly LastUse[]>;
}
