import { RESYNC_BUCKETS_MAX, RESYNC_BUCKET_ROWS } from "../../topology/limits.ts";
import { digestOf } from "../../topology/version/compare.ts";
import type { Key } from "../../topology/version/entry.ts";

/** Of one bucket: that two which differ have the same is as unlikely as for two keys. */
export const BUCKET_BYTES = 6;

/**
 * The keys of a range in buckets by a hash of their names, so that a range which differs is told apart in few bytes: both
 * sites make the same buckets, and only the keys of those that differ are listed.
 *
 * @param keys each key with its digest, in ledger order
 * @returns {@link BUCKET_BYTES} for each of `count` buckets
 */
export function bucketDigests(keys: ReadonlyMap<Key, string>, count: number): Buffer {
  const texts = Array.from({ length: count }, () => "");
  for (const [key, digest] of keys) texts[bucketOf(key, count)] += digest;
  return Buffer.concat(texts.map((text) => digestOf(text).subarray(0, BUCKET_BYTES)));
}

/** As many as a range of so many rows is worth: none for one that is listed in as few bytes. */
export function bucketsFor(rows: number): number {
  const count = Math.min(RESYNC_BUCKETS_MAX, Math.floor(rows / RESYNC_BUCKET_ROWS));
  return count < 2 ? 0 : count;
}

/** The buckets that differ, in their order. */
export function differingBuckets(mine: Uint8Array, theirs: Uint8Array): number[] {
  const differing: number[] = [];
  for (let i = 0; i * BUCKET_BYTES < mine.length; i++) {
    const at = i * BUCKET_BYTES;
    const one = mine.subarray(at, at + BUCKET_BYTES);
    if (Buffer.compare(one, theirs.subarray(at, at + BUCKET_BYTES)) !== 0) differing.push(i);
  }
  return differing;
}

/** FNV-1a of the key's bytes, the same at every site. */
export function bucketOf(key: Key, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % count;
}
