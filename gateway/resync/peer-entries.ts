import { Packr } from "msgpackr";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheName } from "../../topology/names.ts";
import type { LastUse, PeerEntry } from "../../topology/ports.ts";
import type { Context, Key, Sibling, Versions } from "../../topology/version/entry.ts";

const packr = new Packr({ useRecords: false, useBigIntExtension: true, int64AsType: "bigint" });
const VERSION = 1;

const bytesOf = (key: Key): Buffer => Buffer.from(key, "latin1");
const keyOf = (bytes: Uint8Array): Key => Buffer.from(bytes).toString("latin1");

/** A question for keys of one cache: msgpack of `[version, cache, [key bytes]]`. */
export function encodeKeys(cache: CacheName, keys: readonly Key[]): Uint8Array {
  return packr.pack([VERSION, cache, keys.map(bytesOf)]);
}

/** @throws PeerMessageInvalid */
export function decodeKeys(payload: Uint8Array): { cache: CacheName; keys: readonly Key[] } {
  const [cache, keys] = fieldsOf(payload);
  if (typeof cache !== "string" || !Array.isArray(keys)) throw invalid("not a question for keys");
  return { cache, keys: (keys as Uint8Array[]).map(keyOf) };
}

/** Answers to a question about idle keys, in its order: msgpack of `[version, [[used at, held until]]]`, ms. */
export function encodeUses(uses: readonly LastUse[]): Uint8Array {
  return packr.pack([VERSION, uses.map(({ usedAt, heldUntil }) => [usedAt, heldUntil])]);
}

/** @throws PeerMessageInvalid, also if there are not `count` answers */
export function decodeUses(payload: Uint8Array, count: number): readonly LastUse[] {
  const [rows] = fieldsOf(payload);
  if (!Array.isArray(rows) || rows.length !== count) throw invalid(`not ${count} last uses`);
  return rows.map((row: unknown) => {
    const [usedAt, heldUntil] = Array.isArray(row) ? row.map(Number) : [];
    if (!Number.isFinite(usedAt) || !Number.isFinite(heldUntil)) throw invalid("not a last use");
    return { usedAt: usedAt ?? 0, heldUntil: heldUntil ?? 0 };
  });
}

/** Entries with their versions: msgpack of `[version, [[key, context?, siblings?, floor]]]`. */
export function encodeEntries(entries: readonly PeerEntry[]): Uint8Array {
  const rows = entries.map(({ key, versions, floor }) => [
    bytesOf(key),
    versions === undefined ? null : contextRow(versions.context),
    versions === undefined ? null : versions.siblings.map(siblingRow),
    contextRow(floor),
  ]);
  return packr.pack([VERSION, rows]);
}

/** @throws PeerMessageInvalid */
export function decodeEntries(payload: Uint8Array): readonly PeerEntry[] {
  const [rows] = fieldsOf(payload);
  if (!Array.isArray(rows)) throw invalid("not a list of entries");
  return rows.map((row: unknown) => {
    if (!Array.isArray(row) || row.length !== 4) throw invalid("not an entry");
    const [key, context, siblings, floor] = row as [Uint8Array, Flat | null, Row[] | null, Flat];
    const versions: Versions | undefined =
      context === null || siblings === null
        ? undefined
        : { context: contextOf(context), siblings: siblings.map(siblingOf) };
    return { key: keyOf(key), versions, floor: contextOf(floor) };
  });
}

type Flat = Array<string | number | bigint>;
type Row = [
  string,
  number | bigint,
  number,
  boolean,
  string,
  number,
  number,
  number,
  Uint8Array | null,
];

const contextRow = (context: Context): Flat => [...context].flat();

function contextOf(flat: Flat): Context {
  const context = new Map<string, bigint>();
  for (let i = 0; i + 1 < flat.length; i += 2) {
    context.set(String(flat[i]), BigInt(flat[i + 1] ?? 0));
  }
  return context;
}

function siblingRow(s: Sibling): Row {
  const { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs, value } = s;
  return [author, dot, at, kind === "put", hash, expiresAt, maxIdleMs, offsetMs, value ?? null];
}

function siblingOf(row: Row): Sibling {
  const [author, dot, at, isPut, hash, expiresAt, maxIdleMs, offsetMs, value] = row;
  const sibling: Sibling = {
    author,
    dot: BigInt(dot),
    at: Number(at),
    kind: isPut ? "put" : "remove",
    hash,
    expiresAt: Number(expiresAt),
    maxIdleMs: Number(maxIdleMs),
    offsetMs: Number(offsetMs),
  };
  return value === null ? sibling : { ...sibling, value };
}

function fieldsOf(payload: Uint8Array): unknown[] {
  let found: unknown;
  try {
    found = packr.unpack(payload);
  } catch (cause) {
    throw invalid("not msgpack", cause);
  }
  if (!Array.isArray(found)) throw invalid("not a message of Isthmus");
  const [version, ...fields] = found as unknown[];
  if (version !== VERSION) throw invalid(`expected version ${VERSION}, found ${String(version)}`);
  return fields;
}

function invalid(why: string, cause?: unknown): IsthmusError {
  return new IsthmusError(ErrorCode.PeerMessageInvalid, `a peer's message: ${why}`, {
    hint: "Run the same version of Isthmus at every site.",
    cause,
  });
}
