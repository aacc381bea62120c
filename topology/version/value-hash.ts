import { hash } from "node:crypto";
import type { ValueHash } from "./entry.ts";

const HASH_BYTES = 16;

/** Digests of the media types seen; a site has a handful, so the map is emptied should a fault ever fill it. */
const typeDigests = new Map<string, Buffer>();
const TYPE_DIGESTS_MAX = 64;

/**
 * The hash of a value: 128 bits, the start of SHA-256 over the bytes, xor the start of SHA-256 over the media type, as 32
 * hex digits. Equal bytes of two media types differ.
 */
export function valueHash(mediaType: string, value: Uint8Array): ValueHash {
  const digest = hash("sha256", value, "buffer");
  const typeDigest = digestOfType(mediaType);
  for (let i = 0; i < HASH_BYTES; i++) digest[i] = (digest[i] ?? 0) ^ (typeDigest[i] ?? 0);
  return digest.toString("hex", 0, HASH_BYTES);
}

function digestOfType(mediaType: string): Buffer {
  let digest = typeDigests.get(mediaType);
  if (digest === undefined) {
    if (typeDigests.size >= TYPE_DIGESTS_MAX) typeDigests.clear();
    digest = hash("sha256", mediaType, "buffer");
    typeDigests.set(mediaType, digest);
  }
  return digest;
}
