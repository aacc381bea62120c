import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { FieldReader } from "../../topology/mutation/field-reader.ts";
import { packPlain, type Plain, unpackPlain } from "../../topology/mutation/plain-msgpack.ts";
import type { CacheName } from "../../topology/names.ts";
import type { LastUse, PeerEntry } from "../../topology/ports.ts";
import type { Context, Key, Sibling } from "../../topology/version/entry.ts";

/** Of all messages between peers that ask each other about keys. */
export const VERSION = 1;

/** A key as bytes. */
export const bytesOf = (key: Key): Buffer => Buffer.from(key, "latin1");
/** The inverse of {@link bytesOf}. */
export const keyOf = (bytes: Uint8Array): Key => Buffer.from(bytes).toString("latin1");

/** A question for keys of one cache: msgpack of `[version, cache, [key bytes]]`. */
export function encodeKeys(cache: CacheName, keys: readonly Key[]): Uint8Array {
  return packPlain([VERSION, cache, keys.map(bytesOf)]);
}

/** @throws PeerMessageInvalid */
export function decodeKeys(payload: Uint8Array): { cache: CacheName; keys: readonly Key[] } {
  return decoded(payload, (row) => {
    const cache = row.text("cache");
    const keys = new FieldReader("the keys", row.array("keys"));
    return { cache, keys: all(keys, () => keyOf(keys.bytes("key"))) };
  });
}

/** Answers to a question about idle keys, in its order: msgpack of `[version, [[used at, held until]]]`, whole ms. */
export function encodeUses(uses: readonly LastUse[]): Uint8Array {
  const rows = uses.map(({ usedAt, heldUntil }) => [Math.round(usedAt), Math.round(heldUntil)]);
  return packPlain([VERSION, rows]);
}

/** @throws PeerMessageInvalid, also if there are not `count` answers */
export function decodeUses(payload: Uint8Array, count: number): readonly LastUse[] {
  return decoded(payload, (row) => {
    const rows = row.array("uses");
    if (rows.length !== count) throw invalid(`not ${count} last uses`);
    return rows.map((fields) => {
      const use = new FieldReader("a last use", fields);
      const result = { usedAt: use.whole("usedAt"), heldUntil: use.whole("heldUntil") };
      use.done();
      return result;
    });
  });
}

/** Entries with their versions: msgpack of `[version, [[key, floor, context?, siblings?]]]`. */
export function encodeEntries(entries: readonly PeerEntry[]): Uint8Array {
  return packPlain([VERSION, entries.map(entryRow)]);
}

/** One entry: `[key, floor, context?, siblings?]`. */
export function entryRow({ key, versions, floor }: PeerEntry): Plain {
  const fields: Plain[] = [bytesOf(key), contextRow(floor)];
  if (versions === undefined) return fields;
  return [...fields, contextRow(versions.context), versions.siblings.map(siblingRow)];
}

/** The values are copies. @throws PeerMessageInvalid */
export function decodeEntries(payload: Uint8Array): readonly PeerEntry[] {
  return decoded(payload, (row) => row.array("entries").map(entryOf));
}

/** The inverse of {@link entryRow}. */
export function entryOf(fields: Plain): PeerEntry {
  const row = new FieldReader("an entry", fields);
  const key = keyOf(row.bytes("key"));
  const floor = contextOf(row.array("floor"));
  if (row.left === 0) return { key, versions: undefined, floor };
  const context = contextOf(row.array("context"));
  const siblings = row.array("siblings").map(siblingOf);
  row.done();
  return { key, versions: { context, siblings }, floor };
}

/** A context: site, dot, site, dot... */
export const contextRow = (context: Context): Plain => [...context].flat();

/** The inverse of {@link contextRow}. */
export function contextOf(flat: readonly Plain[]): Context {
  const row = new FieldReader("a context", flat);
  return new Map(all(row, () => [row.text("site"), row.dot("dot")] as const));
}

/** A version, with its value if it carries one. */
export function siblingRow(s: Sibling): Plain {
  const { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs, value } = s;
  return [author, dot, at, kind === "put", hash, expiresAt, maxIdleMs, offsetMs, value ?? null];
}

/** The inverse of {@link siblingRow}; the value is a copy. */
export function siblingOf(fields: Plain): Sibling {
  const row = new FieldReader("a version", fields);
  const sibling: Sibling = {
    author: row.text("author"),
    dot: row.dot("dot"),
    at: row.whole("at"),
    kind: row.flag("kind") ? "put" : "remove",
    hash: row.text("hash"),
    expiresAt: row.whole("expiresAt"),
    maxIdleMs: row.whole("maxIdleMs"),
    offsetMs: row.whole("offsetMs"),
  };
  const value = row.bytesOrNil("value");
  row.done();
  return value === undefined ? sibling : { ...sibling, value: Buffer.from(value) };
}

/** Everything that is left of a row, by `read`. */
export function all<T>(row: FieldReader, read: () => T): T[] {
  const found: T[] = [];
  while (row.left > 0) found.push(read());
  return found;
}

/** What `read` makes of a message's fields behind its version, all of them. Whatever is not of a peer is one error. */
export function decoded<T>(payload: Uint8Array, read: (row: FieldReader) => T): T {
  try {
    const row = new FieldReader("it", unpackPlain(payload));
    const version = row.count("version");
    if (version !== VERSION) throw invalid(`expected version ${VERSION}, found ${version}`);
    const result = read(row);
    row.done();
    return result;
  } catch (cause) {
    const isOurs = cause instanceof IsthmusError && cause.code === ErrorCode.PeerMessageInvalid;
    if (isOurs) throw cause;
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function invalid(why: string, cause?: unknown): IsthmusError {
  return new IsthmusError(ErrorCode.PeerMessageInvalid, `a peer's message cannot be read: ${why}`, {
    hint: "Run the same version of Isthmus at every site.",
    cause,
  });
}
