import type { EntryMetadata } from "../../../topology/hotrod/messages.ts";

/** A lifespan or max-idle that never ends. */
export const FOREVER = -1;

/** One entry of an embedded cache. Times in ms since the epoch. */
export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
  /** Random, never 0: equality only. */
  readonly token: bigint;
  readonly createdMs: number;
  /** {@link FOREVER} or how long after `createdMs` it expires. */
  readonly lifespanMs: number;
  /** {@link FOREVER} or how long after `lastUsedMs` it expires. */
  readonly maxIdleMs: number;
  lastUsedMs: number;
}

/** Whether an entry is gone at `nowMs`. */
export function isExpired(entry: Entry, nowMs: number): boolean {
  const { lifespanMs, maxIdleMs } = entry;
  if (lifespanMs !== FOREVER && nowMs >= entry.createdMs + lifespanMs) return true;
  return maxIdleMs !== FOREVER && nowMs >= entry.lastUsedMs + maxIdleMs;
}

/** An entry's metadata as Hot Rod tells it: durations in whole seconds, rounded down. */
export function metadataOf(entry: Entry): EntryMetadata {
  const mortal = entry.lifespanMs !== FOREVER;
  const idle = entry.maxIdleMs !== FOREVER;
  return {
    createdMs: mortal ? entry.createdMs : undefined,
    lifespanSeconds: mortal ? wholeSeconds(entry.lifespanMs) : undefined,
    lastUsedMs: idle ? entry.lastUsedMs : undefined,
    maxIdleSeconds: idle ? wholeSeconds(entry.maxIdleMs) : undefined,
    entryVersion: entry.token,
  };
}

/** Java's largest int bounds what the wire can say; Infinispan lets it overflow, which no client could use. */
function wholeSeconds(ms: number): number {
  return Math.min(Math.floor(ms / 1000), 0x7fff_ffff);
}
