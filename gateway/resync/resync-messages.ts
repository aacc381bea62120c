import { DIGEST_BYTES, type Side } from "../../topology/version/compare.ts";
import { FieldReader } from "../../topology/mutation/field-reader.ts";
import { packPlain, type Plain } from "../../topology/mutation/plain-msgpack.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { PeerEntry } from "../../topology/ports.ts";
import { type Context, type Dot, type Key, withoutValue } from "../../topology/version/entry.ts";
import {
  all,
  bytesOf,
  contextOf,
  contextRow,
  decoded,
  entryOf,
  entryRow,
  keyOf,
  siblingOf,
  siblingRow,
  VERSION,
} from "./peer-entries.ts";

/** Who asks about which cache, and how it decides there: what the peer must agree with. */
export interface Asking {
  readonly site: SiteName;
  readonly cache: CacheName;
  readonly policyHash: string;
  readonly mediaType: string;
  /** Its ledger was lost: it takes versions of a site that is not ready itself, because that may wait for it. */
  readonly isRebuilding: boolean;
}

/**
 * What is wanted of the entries that the asking site lacks: their number, their versions, or their values too. A replacement
 * is wanted by a site that is re-seeded: the entry of each key that differs, whichever of the two lacks something.
 */
export type Wanted = "number" | "versions" | "values" | "replacement";

const WANTED: readonly Wanted[] = ["number", "versions", "values", "replacement"];

/** A question for the digests of ranges of keys in ledger order: from after `after` to each of `bounds`, undefined the end. */
export interface DigestQuestion extends Asking {
  readonly level: Context;
  readonly after: Key | undefined;
  readonly bounds: ReadonlyArray<Key | undefined>;
}

/** A record of a log: all of its cache up to there. */
export interface LogEnd {
  readonly incarnation: string;
  readonly seq: number;
}

/** What the asked site says of itself, and its digests. */
export interface DigestAnswer {
  readonly floor: Context;
  /** Of the newest change of this cache at the asked site: its ledger has that and all before. */
  readonly dot: Dot;
  /** It misses nothing that it knows of, but perhaps of the site that asks. */
  readonly isLevel: boolean;
  /** Where its own log ends for this cache: its ledger has all of that. */
  readonly logEnd: LogEnd;
  /** One for each range, as far as they go. */
  readonly digests: readonly Uint8Array[];
  /** The last digest goes only so far: there were too many rows. */
  readonly cutAt: Key | undefined;
}

/** A question for the keys of one range with a digest each: of the buckets that differ, or of all where there are none. */
export interface KeysQuestion extends Asking {
  readonly level: Context;
  readonly after: Key | undefined;
  readonly upTo: Key | undefined;
  /** The asking site's: see `bucketDigests`. */
  readonly buckets: Uint8Array;
}

/** They go as far as `cutAt`; undefined: all of the range. */
export interface KeysAnswer {
  readonly keys: ReadonlyMap<Key, string>;
  readonly cutAt: Key | undefined;
  /** The keys are those of these buckets; undefined: all. */
  readonly buckets: readonly number[] | undefined;
}

/** The asking site's side of keys that differ. */
export interface ExchangeQuestion extends Asking {
  readonly level: Context;
  readonly floor: Context;
  readonly wanted: Wanted;
  readonly sides: ReadonlyArray<readonly [Key, Side]>;
}

/** About the first `done` of the keys: what the asking site lacks, and which keys the asked one lacks something of. */
export interface ExchangeAnswer {
  readonly done: number;
  readonly lacking: number;
  readonly entries: readonly PeerEntry[];
  readonly wants: readonly Key[];
  /** Of the asked site's: their value is being written right now. */
  readonly unsettled: readonly Key[];
}

/** Entries that the asked site lacks. */
export interface PushQuestion extends Asking {
  readonly entries: readonly PeerEntry[];
}

const optional = (key: Key | undefined): Plain => (key === undefined ? null : bytesOf(key));
const keyOrNil = (row: FieldReader, name: string): Key | undefined => {
  const bytes = row.bytesOrNil(name);
  return bytes === undefined ? undefined : keyOf(bytes);
};

const head = ({ site, cache, policyHash, mediaType, isRebuilding }: Asking): Plain[] => [
  VERSION,
  site,
  cache,
  policyHash,
  mediaType,
  isRebuilding,
];

const asking = (row: FieldReader): Asking => ({
  site: row.text("site"),
  cache: row.text("cache"),
  policyHash: row.text("policyHash"),
  mediaType: row.text("mediaType"),
  isRebuilding: row.flag("isRebuilding"),
});

const keysOf = (fields: readonly Plain[]): Key[] => {
  const row = new FieldReader("the keys", fields);
  return all(row, () => keyOf(row.bytes("key")));
};

/** msgpack of `[version, site, cache, policy hash, media type, rebuilding, level, after, [bounds]]`. */
export const encodeDigestQuestion = (q: DigestQuestion): Uint8Array =>
  packPlain([...head(q), contextRow(q.level), optional(q.after), q.bounds.map(optional)]);

/** @throws PeerMessageInvalid */
export const decodeDigestQuestion = (payload: Uint8Array): DigestQuestion =>
  decoded(payload, (row) => {
    const who = asking(row);
    const level = contextOf(row.array("level"));
    const after = keyOrNil(row, "after");
    const bounds = new FieldReader("the bounds", row.array("bounds"));
    return { ...who, level, after, bounds: all(bounds, () => keyOrNil(bounds, "bound")) };
  });

/** msgpack of `[version, floor, dot, is level, incarnation, sequence, digests in one, cut at]`. */
export const encodeDigestAnswer = (a: DigestAnswer): Uint8Array =>
  packPlain([
    VERSION,
    contextRow(a.floor),
    a.dot,
    a.isLevel,
    a.logEnd.incarnation,
    a.logEnd.seq,
    Buffer.concat(a.digests),
    optional(a.cutAt),
  ]);

/** @throws PeerMessageInvalid */
export const decodeDigestAnswer = (payload: Uint8Array): DigestAnswer =>
  decoded(payload, (row) => {
    const floor = contextOf(row.array("floor"));
    const dot = row.dot("dot");
    const isLevel = row.flag("isLevel");
    const logEnd = { incarnation: row.text("incarnation"), seq: row.count("seq") };
    const joined = Buffer.from(row.bytes("digests"));
    const digests: Uint8Array[] = [];
    for (let at = 0; at < joined.length; at += DIGEST_BYTES) {
      digests.push(joined.subarray(at, at + DIGEST_BYTES));
    }
    return { floor, dot, isLevel, logEnd, digests, cutAt: keyOrNil(row, "cutAt") };
  });

/** msgpack of `[version, site, cache, policy hash, media type, rebuilding, level, after, up to, buckets]`. */
export const encodeKeysQuestion = (q: KeysQuestion): Uint8Array =>
  packPlain([
    ...head(q),
    contextRow(q.level),
    optional(q.after),
    optional(q.upTo),
    Buffer.from(q.buckets),
  ]);

/** @throws PeerMessageInvalid */
export const decodeKeysQuestion = (payload: Uint8Array): KeysQuestion =>
  decoded(payload, (row) => ({
    ...asking(row),
    level: contextOf(row.array("level")),
    after: keyOrNil(row, "after"),
    upTo: keyOrNil(row, "upTo"),
    buckets: Buffer.from(row.bytes("buckets")),
  }));

/** msgpack of `[version, [key, digest, key, digest...], cut at, buckets in one byte each or nil]`. */
export const encodeKeysAnswer = (a: KeysAnswer): Uint8Array =>
  packPlain([
    VERSION,
    [...a.keys].flatMap(([key, digest]) => [bytesOf(key), digest]),
    optional(a.cutAt),
    a.buckets === undefined ? null : Buffer.from(a.buckets),
  ]);

/** @throws PeerMessageInvalid */
export const decodeKeysAnswer = (payload: Uint8Array): KeysAnswer =>
  decoded(payload, (row) => {
    const keys = new FieldReader("the keys", row.array("keys"));
    const found = all(keys, () => [keyOf(keys.bytes("key")), keys.text("digest")] as const);
    const cutAt = keyOrNil(row, "cutAt");
    const buckets = row.bytesOrNil("buckets");
    return { keys: new Map(found), cutAt, buckets: buckets && [...buckets] };
  });

/** msgpack of `[version, site, cache, policy hash, media type, rebuilding, level, floor, wanted, [[key, live, lacks copy, context?, siblings?]]]`. */
export const encodeExchangeQuestion = (q: ExchangeQuestion): Uint8Array =>
  packPlain([
    ...head(q),
    contextRow(q.level),
    contextRow(q.floor),
    WANTED.indexOf(q.wanted),
    q.sides.map(([key, side]) => {
      const fields: Plain[] = [bytesOf(key), side.isLive, side.lacksCopy];
      const { versions } = side;
      if (versions === undefined) return fields;
      const bare = versions.siblings.map((s) => siblingRow(withoutValue(s)));
      return [...fields, contextRow(versions.context), bare];
    }),
  ]);

/** @throws PeerMessageInvalid */
export const decodeExchangeQuestion = (payload: Uint8Array): ExchangeQuestion =>
  decoded(payload, (row) => {
    const who = asking(row);
    const level = contextOf(row.array("level"));
    const floor = contextOf(row.array("floor"));
    const wanted = WANTED[row.count("wanted")] ?? "number";
    const sides = row.array("sides").map((fields): [Key, Side] => {
      const side = new FieldReader("a side", fields);
      const key = keyOf(side.bytes("key"));
      const [isLive, lacksCopy] = [side.flag("isLive"), side.flag("lacksCopy")];
      if (side.left === 0) return [key, { versions: undefined, floor, isLive, lacksCopy }];
      const context = contextOf(side.array("context"));
      const siblings = side.array("siblings").map(siblingOf);
      side.done();
      return [key, { versions: { context, siblings }, floor, isLive, lacksCopy }];
    });
    return { ...who, level, floor, wanted, sides };
  });

/** msgpack of `[version, done, lacking, [entries], [wants], [unsettled]]`. */
export const encodeExchangeAnswer = (a: ExchangeAnswer): Uint8Array =>
  packPlain([
    VERSION,
    a.done,
    a.lacking,
    a.entries.map(entryRow),
    a.wants.map(bytesOf),
    a.unsettled.map(bytesOf),
  ]);

/** @throws PeerMessageInvalid */
export const decodeExchangeAnswer = (payload: Uint8Array): ExchangeAnswer =>
  decoded(payload, (row) => ({
    done: row.count("done"),
    lacking: row.count("lacking"),
    entries: row.array("entries").map(entryOf),
    wants: keysOf(row.array("wants")),
    unsettled: keysOf(row.array("unsettled")),
  }));

/** msgpack of `[version, site, cache, policy hash, media type, rebuilding, [entries]]`. */
export const encodePushQuestion = (q: PushQuestion): Uint8Array =>
  packPlain([...head(q), q.entries.map(entryRow)]);

/** @throws PeerMessageInvalid */
export const decodePushQuestion = (payload: Uint8Array): PushQuestion =>
  decoded(payload, (row) => ({ ...asking(row), entries: row.array("entries").map(entryOf) }));

/** Says that a resync made up for all of the asked site's log up to `logEnd`. */
export interface DoneQuestion extends Asking {
  readonly logEnd: LogEnd;
}

/** msgpack of `[version, site, cache, policy hash, media type, rebuilding, incarnation, sequence]`. */
export const encodeDoneQuestion = (q: DoneQuestion): Uint8Array =>
  packPlain([...head(q), q.logEnd.incarnation, q.logEnd.seq]);

/** @throws PeerMessageInvalid */
export const decodeDoneQuestion = (payload: Uint8Array): DoneQuestion =>
  decoded(payload, (row) => ({
    ...asking(row),
    logEnd: { incarnation: row.text("incarnation"), seq: row.count("seq") },
  }));

/** The keys that could not be merged: msgpack of `[version, [keys]]`. */
export const encodePushAnswer = (failed: readonly Key[]): Uint8Array =>
  packPlain([VERSION, failed.map(bytesOf)]);

/** @throws PeerMessageInvalid */
export const decodePushAnswer = (payload: Uint8Array): readonly Key[] =>
  decoded(payload, (row) => keysOf(row.array("failed")));
