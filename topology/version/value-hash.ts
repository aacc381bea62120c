import { hash } from "node:crypto";
import type { ValueHash } from "./entry.ts";

const HEX_DIGITS = 32;
/** The media type goes into the last 32 of the 128 bits. */
const TYPE_HEX_DIGITS = 8;

/** Marks of the media types seen; a site has a handful, so the map is emptied should a fault ever fill it. */
const typeMarks = new Map<string, number>();
const TYPE_MARKS_MAX = 64;

/**
 * The hash of a value: 128 bits, the start of SHA-256 over the bytes, with the start of SHA-256 over the media type xored into
 * the last 32 of them, as 32 hex digits. Equal bytes of two media types differ.
 */
export function valueHash(mediaType: string, value: Uint8Array): ValueHash {
  // As hex, because a digest as a Buffer takes three times as long.
  const digest = hash("sha256", value, "hex");
  const bits = Number.parseInt(digest.slice(HEX_DIGITS - TYPE_HEX_DIGITS, HEX_DIGITS), 16);
  const marked = ((bits ^ markOf(mediaType)) >>> 0).toString(16).padStart(TYPE_HEX_DIGITS, "0");
  return digest.slice(0, HEX_DIGITS - TYPE_HEX_DIGITS) + marked;
}

function markOf(mediaType: string): number {
  let mark = typeMarks.get(mediaType);
  if (mark === undefined) {
    if (typeMarks.size >= TYPE_MARKS_MAX) typeMarks.clear();
    mark = Number.parseInt(hash("sha256", mediaType, "hex").slice(0, TYPE_HEX_DIGITS), 16);
    typeMarks.set(mediaType, mark);
  }
  return mark;
}
