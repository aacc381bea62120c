import { INFINITE_DURATION, TimeUnit } from "../../topology/hotrod/expiration.ts";
import type { Duration, Expiration } from "../../topology/hotrod/expiration.ts";
import type { EntryMetadata } from "../../topology/hotrod/messages.ts";
import { assert } from "../../topology/errors.ts";
import type { CacheState } from "../../topology/ports.ts";

const SECOND_MS = 1000;

/**
 * A cache entry from its metadata. Seconds on the wire are floored, so that 0 of them means within a second: taken as
 * one, for 0 would be never. The value is copied.
 */
export function entryState(metadata: EntryMetadata, value: Buffer): CacheState {
  const { createdMs, lifespanSeconds, lastUsedMs, maxIdleSeconds, entryVersion } = metadata;
  return {
    value: Buffer.from(value),
    token: entryVersion,
    createdAt: createdMs ?? 0,
    lastUsedAt: lastUsedMs ?? 0,
    expiresAt:
      lifespanSeconds === undefined || createdMs === undefined
        ? 0
        : createdMs + Math.max(1, lifespanSeconds) * SECOND_MS,
    maxIdleMs: maxIdleSeconds === undefined ? 0 : Math.max(1, maxIdleSeconds) * SECOND_MS,
  };
}

/** An expiration on the wire for relative ms, 0 for never: always explicit, the cache's own default is never taken. */
export function wireExpiration(expiry: { lifespanMs: number; maxIdleMs: number }): Expiration {
  return { lifespan: wireDuration(expiry.lifespanMs), maxIdle: wireDuration(expiry.maxIdleMs) };
}

/** What is over already, or in less than a ms, still gets one: 0 on the wire would be the cache's default. */
function wireDuration(ms: number): Duration {
  assert(Number.isFinite(ms), () => `a duration of ${ms} ms`);
  if (ms === 0) return INFINITE_DURATION;
  return { unit: TimeUnit.Milliseconds, amount: BigInt(Math.max(1, Math.ceil(ms))) };
}
