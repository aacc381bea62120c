import { resolveExpiration } from "../../../topology/hotrod/expiration.ts";
import type { Expiration } from "../../../topology/hotrod/expiration.ts";
import type {
  HotRodRequest,
  PreviousValue,
  RequestHeader,
  RequestOf,
  ResponseBodies,
} from "../../../topology/hotrod/messages.ts";
import { Flag, Status } from "../../../topology/hotrod/opcodes.ts";
import type { RequestOp } from "../../../topology/hotrod/opcodes.ts";
import type { EmbeddedCache, WriteOptions } from "./embedded-cache.ts";
import { FOREVER, metadataOf } from "./entry.ts";
import type { Entry } from "./entry.ts";

/** A response's status and body. */
export type Answer<O extends RequestOp> = { readonly status: number } & ResponseBodies[O];

/** The operations on one cache that neither a connection nor the server has a part in. */
export const CACHE_OPS = [
  "put",
  "get",
  "putIfAbsent",
  "replace",
  "replaceIfUnmodified",
  "remove",
  "removeIfUnmodified",
  "containsKey",
  "getWithVersion",
  "getWithMetadata",
  "clear",
  "size",
  "putAll",
  "getAll",
  "bulkGet",
  "bulkGetKeys",
] as const satisfies readonly RequestOp[];

/** One of {@link CACHE_OPS}. */
export type CacheOp = (typeof CACHE_OPS)[number];

type Operations = {
  readonly [O in CacheOp]: (
    cache: EmbeddedCache,
    request: RequestOf<O>,
    nowMs: number,
  ) => Answer<O>;
};

const isForced = (header: RequestHeader): boolean => (header.flags & Flag.ForceReturnValue) !== 0;
const isSilent = (header: RequestHeader): boolean =>
  (header.flags & Flag.SkipListenerNotification) !== 0;

/** How a request wants its entry written; the cache's default is to live forever. */
function writeOptions(header: RequestHeader, expiration: Expiration, nowMs: number): WriteOptions {
  const { version, flags } = header;
  const { lifespanMs, maxIdleMs } = resolveExpiration(expiration, version, flags, nowMs);
  return {
    lifespanMs: typeof lifespanMs === "number" ? lifespanMs : FOREVER,
    maxIdleMs: typeof maxIdleMs === "number" ? maxIdleMs : FOREVER,
    silent: isSilent(header),
  };
}

function previousOf(entry: Entry | undefined): PreviousValue | undefined {
  return entry && { metadata: metadataOf(entry), value: entry.value };
}

/** The answer to a write that was done: with what was there, if that is wanted. */
function done(header: RequestHeader, entry: Entry | undefined): Answer<"put"> {
  if (!isForced(header)) return { status: Status.Ok, previous: undefined };
  return { status: Status.OkWithPrevious, previous: previousOf(entry) };
}

/** The answer to a write that was not done because of the entry that is there: to look at that was a use of it. */
function notDone(header: RequestHeader, entry: Entry | undefined, nowMs: number): Answer<"put"> {
  if (entry !== undefined) entry.lastUsedMs = nowMs;
  if (!isForced(header) || entry === undefined) {
    return { status: Status.NotExecuted, previous: undefined };
  }
  return { status: Status.NotExecutedWithPrevious, previous: previousOf(entry) };
}

const MISSING = { status: Status.KeyDoesNotExist };

const OPERATIONS: Operations = {
  put(cache, { header, key, value, expiration }, nowMs) {
    return done(header, cache.put(key, value, writeOptions(header, expiration, nowMs)));
  },

  putIfAbsent(cache, { header, key, value, expiration }, nowMs) {
    const entry = cache.peek(key);
    if (entry !== undefined) return notDone(header, entry, nowMs);
    cache.put(key, value, writeOptions(header, expiration, nowMs));
    return { status: Status.Ok, previous: undefined };
  },

  replace(cache, { header, key, value, expiration }, nowMs) {
    if (cache.peek(key) === undefined) return notDone(header, undefined, nowMs);
    return done(header, cache.put(key, value, writeOptions(header, expiration, nowMs)));
  },

  replaceIfUnmodified(cache, { header, key, value, expiration, entryVersion }, nowMs) {
    const entry = cache.peek(key);
    if (entry === undefined) return { ...MISSING, previous: undefined };
    if (entry.token !== entryVersion) return notDone(header, entry, nowMs);
    return done(header, cache.put(key, value, writeOptions(header, expiration, nowMs)));
  },

  remove(cache, { header, key }) {
    const entry = cache.remove(key, isSilent(header));
    return entry === undefined ? { ...MISSING, previous: undefined } : done(header, entry);
  },

  removeIfUnmodified(cache, { header, key, entryVersion }, nowMs) {
    const entry = cache.peek(key);
    if (entry === undefined) return { ...MISSING, previous: undefined };
    if (entry.token !== entryVersion) return notDone(header, entry, nowMs);
    return done(header, cache.remove(key, isSilent(header)));
  },

  get(cache, { key }) {
    const entry = cache.get(key);
    if (entry === undefined) return { ...MISSING, value: undefined };
    return { status: Status.Ok, value: entry.value };
  },

  containsKey(cache, { key }) {
    return cache.get(key) === undefined ? MISSING : { status: Status.Ok };
  },

  getWithVersion(cache, { key }) {
    const entry = cache.get(key);
    if (entry === undefined) return { ...MISSING, entry: undefined };
    return { status: Status.Ok, entry: { entryVersion: entry.token, value: entry.value } };
  },

  getWithMetadata(cache, { key }) {
    const entry = cache.get(key);
    if (entry === undefined) return { ...MISSING, entry: undefined };
    return { status: Status.Ok, entry: { metadata: metadataOf(entry), value: entry.value } };
  },

  clear(cache, { header }) {
    cache.clear(isSilent(header));
    return { status: Status.Ok };
  },

  size(cache) {
    let size = 0n;
    for (const _ of cache.entries()) size += 1n;
    return { status: Status.Ok, size };
  },

  putAll(cache, { header, entries, expiration }, nowMs) {
    const options = { ...writeOptions(header, expiration, nowMs), token: cache.freshToken() };
    for (const { key, value } of entries) cache.put(key, value, options);
    return { status: Status.Ok };
  },

  getAll(cache, { keys }) {
    const entries = keys.map((key) => cache.get(key)).filter((entry) => entry !== undefined);
    return { status: Status.Ok, entries };
  },

  bulkGet(cache, { count }) {
    const entries = [...cache.entries()];
    return { status: Status.Ok, entries: count === 0 ? entries : entries.slice(0, count) };
  },

  bulkGetKeys(cache) {
    return { status: Status.Ok, keys: Array.from(cache.entries(), (entry) => entry.key) };
  },
};

const IS_CACHE_OP: ReadonlySet<RequestOp> = new Set(CACHE_OPS);

/** Whether {@link operate} does that request. */
export function isCacheRequest(
  request: HotRodRequest,
): request is { [O in CacheOp]: RequestOf<O> }[CacheOp] {
  return IS_CACHE_OP.has(request.op);
}

/** Does one operation at `nowMs` (ms since the epoch). */
export function operate(
  cache: EmbeddedCache,
  request: { [O in CacheOp]: RequestOf<O> }[CacheOp],
  nowMs: number,
): Answer<CacheOp> {
  // The table's types say that operation and request belong together; TypeScript cannot follow it over a union.
  const operation = OPERATIONS[request.op] as (
    cache: EmbeddedCache,
    request: HotRodRequest,
    nowMs: number,
  ) => Answer<CacheOp>;
  return operation(cache, request, nowMs);
}
