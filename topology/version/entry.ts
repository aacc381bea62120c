import type { SiteName } from "../names.ts";

/**
 * A site's own stamp: 48 bits of wall-clock ms, then a 16-bit counter. Unique and rising per site, also across restarts:
 * identity and causality, never an order between sites.
 */
export type Dot = bigint;

/** What has been seen: for each site the highest dot. A site that is missing was never seen (dot 0). */
export type Context = ReadonlyMap<SiteName, Dot>;

/** 128 bits over media type and value bytes, as 32 hex digits: equality only. */
export type ValueHash = string;

/** One key's bytes as a latin1 string, one char a byte: a string so that it can index a Map. */
export type Key = string;

/** When a value goes away. */
export interface Expiry {
  /** Absolute, ms since the epoch; 0 is never. */
  readonly expiresAt: number;
  /** ms without a use; 0 is never. */
  readonly maxIdleMs: number;
}

/** One version of a key with what it holds: a put, or a remove (then hash is "", expiry 0/0). */
export interface Sibling extends Expiry {
  readonly author: SiteName;
  readonly dot: Dot;
  /** What conflict policies compare, ms since the epoch in the author's clock; nearly always the dot's own ms. */
  readonly at: number;
  readonly kind: "put" | "remove";
  readonly hash: ValueHash;
  /** This site's clock minus the author's, whole ms, as estimated when the version was published: `expiresAt` is in the author's clock. */
  readonly offsetMs: number;
  /** Kept only while it does not show and is not superseded (a shown value is in the cache itself). */
  readonly value?: Uint8Array;
}

/** A version without its bytes. Named field by field: this is run for each mutation, and a rest costs five times as much. */
export function withoutValue(sibling: Sibling): Sibling {
  const { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs } = sibling;
  return { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs };
}

/** What decides: all that a key has seen, and the versions that no other supersedes, at most one an author. */
export interface Versions {
  readonly context: Context;
  readonly siblings: readonly Sibling[];
}

/** What the local cache holds for a key, as far as the ledger knows; expiry in the local clock. */
export interface Held extends Expiry {
  readonly hash: ValueHash;
  /** The local Infinispan's entry version, signed 64 bits: equality only. 0n: the entry has none. undefined: not known yet. */
  readonly token: bigint | undefined;
  /** Number of the listener whose event brought this token; 0: it came from a read. See design section 3.9. */
  readonly seenBy: number;
}

/**
 * The ledger's row of one key.
 *
 * `live`: the cache holds `held`. `tombstone`: removed or expired, versions kept. `absent`: the version is known, but this
 * cache has no copy (evicted, restarted empty, invalidated), which is never a remove.
 */
export interface Entry extends Versions {
  readonly presence: "live" | "tombstone" | "absent";
  readonly held: Held | undefined;
  /** Sequence of this key's newest mutation in the outbox, 0 if none was ever queued: see {@link CacheLedger} in ports.ts. */
  readonly outboxSeq: number;
}
