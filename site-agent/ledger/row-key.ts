import { hash } from "node:crypto";
import { LEDGER_KEY_BYTES_MAX } from "../../topology/limits.ts";
import type { Key } from "../../topology/version/entry.ts";

const CACHE_BYTES = 2;
const SEQ_BYTES = 8;

/** Second part of an entry's row key: the key itself follows, or the hash of one that LMDB could not hold. */
const WHOLE = "\x00";
const HASHED = "\x01";

/** What the row keys of a cache begin with. */
export function cachePrefix(cacheId: number): string {
  const bytes = Buffer.alloc(CACHE_BYTES);
  bytes.writeUInt16BE(cacheId);
  return bytes.toString("latin1");
}

/** Whether a key is kept under its hash, and so in full in its row. */
export const isHashed = (key: Key): boolean => key.length > LEDGER_KEY_BYTES_MAX;

/** The row key of an entry: in key order, those kept under their hash after all others. */
export function entryKey(prefix: string, key: Key): string {
  if (!isHashed(key)) return prefix + WHOLE + key;
  const digest = hash("sha256", Buffer.from(key, "latin1"), "buffer");
  return prefix + HASHED + digest.toString("latin1");
}

/** The key in an entry's row key; undefined if the row holds it. */
export function keyIn(rowKey: string): Key | undefined {
  return rowKey[CACHE_BYTES] === WHOLE ? rowKey.slice(CACHE_BYTES + 1) : undefined;
}

/** The least row key above `rowKey`. */
export const after = (rowKey: string): string => `${rowKey}\x00`;

/** The least row key above all that begin with `prefix`. */
export function afterPrefix(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  if (Number.isNaN(last)) return "\xff".repeat(64);
  return last < 255
    ? prefix.slice(0, -1) + String.fromCharCode(last + 1)
    : afterPrefix(prefix.slice(0, -1));
}

/** The row key of an outbox row. */
export function seqKey(prefix: string, seq: number): string {
  const bytes = Buffer.alloc(SEQ_BYTES);
  bytes.writeBigUInt64BE(BigInt(seq));
  return prefix + bytes.toString("latin1");
}

/** The sequence in an outbox row's key. */
export function seqIn(rowKey: string): number {
  return Number(Buffer.from(rowKey.slice(CACHE_BYTES), "latin1").readBigUInt64BE());
}
