import { Packr } from "msgpackr";
import { PLAIN_DEPTH_MAX } from "../limits.ts";

/** What a record is made of: no maps, no extensions. */
export type Plain = null | boolean | number | bigint | string | Uint8Array | readonly Plain[];

const packr = new Packr({
  useRecords: false,
  int64AsType: "bigint",
  moreTypes: false,
  bundleStrings: false,
});

/** `value` as msgpack, in bytes of its own. Every bigint is written as 64 bits. */
export function packPlain(value: Plain): Buffer {
  // A copy, because the packer hands out slices of a buffer that it shares between calls.
  return Buffer.from(packr.pack(value));
}

/** The header of an array of `length` elements; their bytes follow it. */
export function arrayHeader(length: number): Buffer {
  if (length < 16) return Buffer.from([0x90 | length]);
  const isShort = length < 2 ** 16;
  const header = Buffer.alloc(isShort ? 3 : 5, isShort ? 0xdc : 0xdd);
  header.writeUIntBE(length, 1, header.length - 1);
  return header;
}

/**
 * One msgpack value that fills `bytes` exactly; bin values are views of `bytes`. Returns undefined for anything else, having
 * allocated nothing: what the bytes claim is checked against their length first.
 */
export function unpackPlain(bytes: Uint8Array): Plain | undefined {
  return skim(bytes, 0, 0) === bytes.length ? (packr.unpack(bytes) as Plain) : undefined;
}

/** Where the value at `at` ends, or -1 if it is cut short, too deep, or no {@link Plain}. */
function skim(bytes: Uint8Array, at: number, depth: number): number {
  const type = bytes[at];
  if (type === undefined || depth > PLAIN_DEPTH_MAX) return -1;
  if (type < 0x80 || type >= 0xe0 || type === 0xc0 || type === 0xc2 || type === 0xc3) return at + 1;
  if (type >= 0x90 && type < 0xa0) return skimArray(bytes, at + 1, type & 0x0f, depth);
  if (type >= 0xa0 && type < 0xc0) return end(bytes, at + 1 + (type & 0x1f));
  const fixed = FIXED_BYTES.get(type);
  if (fixed !== undefined) return end(bytes, at + 1 + fixed);
  const lengthBytes = LENGTH_BYTES.get(type);
  if (lengthBytes === undefined || at + 1 + lengthBytes > bytes.length) return -1;
  let length = 0;
  for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[at + 1 + i] ?? 0);
  const body = at + 1 + lengthBytes;
  return type >= 0xdc ? skimArray(bytes, body, length, depth) : end(bytes, body + length);
}

function skimArray(bytes: Uint8Array, from: number, length: number, depth: number): number {
  let at = from;
  // Each element takes a byte at least.
  if (length > bytes.length - from) return -1;
  for (let i = 0; i < length && at >= 0; i++) at = skim(bytes, at, depth + 1);
  return at;
}

const end = (bytes: Uint8Array, at: number): number => (at <= bytes.length ? at : -1);

/** Numbers: float 32 and 64, then unsigned and signed integers of 8 to 64 bits. */
const FIXED_BYTES: ReadonlyMap<number, number> = new Map([
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
]);

/** Bin, str and array: how many bytes their length takes. */
const LENGTH_BYTES: ReadonlyMap<number, number> = new Map([
  [0xc4, 1],
  [0xc5, 2],
  [0xc6, 4],
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xdc, 2],
  [0xdd, 4],
]);
