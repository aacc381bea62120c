import { ErrorCode, IsthmusError } from "./errors.ts";
import type { Key } from "./version/entry.ts";

const PREFIX = "hex:";
const decoder = new TextDecoder("utf-8", { fatal: true });
/** ProtoStream's WrappedMessage of a string: field 9, length-delimited: seven bits of the length a byte, lowest first. */
const PROTOSTREAM_STRING = 0x4a;
const LENGTH_BYTES_MAX = 5;
/** Texts whose length takes more bytes are not shown as such. */
const SHOWN_LENGTH_BYTES_MAX = 2;

/**
 * A key for people and JSON: as UTF-8 when every character is printable, else `hex:...`. So is a key that begins with `hex:`,
 * so that no two keys look alike.
 */
export function showKey(key: Key): string {
  const bytes = Buffer.from(key, "latin1");
  const text = printable(bytes);
  if (text !== undefined && !text.startsWith(PREFIX)) return text;
  return PREFIX + bytes.toString("hex");
}

/** The text of a key that is a string in application/x-protostream, if it is one and printable. */
export function protostreamText(key: Key): string | undefined {
  const from = protostreamTextAt(key);
  if (from === 0 || from > 1 + SHOWN_LENGTH_BYTES_MAX) return undefined;
  return printable(Buffer.from(key, "latin1").subarray(from));
}

/** Where the text of a string in application/x-protostream begins, which is all of the rest; 0 for another key. */
export function protostreamTextAt(key: Key): number {
  if (key.charCodeAt(0) !== PROTOSTREAM_STRING) return 0;
  let [at, length] = [1, 0];
  for (let scale = 1; ; scale *= 0x80, at += 1) {
    const byte = key.charCodeAt(at);
    length += (byte & 0x7f) * scale;
    if (byte < 0x80 || at === LENGTH_BYTES_MAX) break;
  }
  return at + 1 + length === key.length ? at + 1 : 0;
}

/** The key that a string is in application/x-protostream, as Java clients and the REST endpoint write it. */
export function protostreamKey(text: string): Key {
  const bytes = Buffer.from(text, "utf8");
  const { length } = bytes;
  const head = length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
  return Buffer.concat([Buffer.from([PROTOSTREAM_STRING, ...head]), bytes]).toString("latin1");
}

/** The bytes as UTF-8; undefined unless there are some and each character can be shown. */
function printable(bytes: Buffer): string | undefined {
  try {
    const text = decoder.decode(bytes);
    // The decoder drops a byte order mark: then the text is not the bytes.
    const isWhole = Buffer.byteLength(text) === bytes.length;
    return isWhole && text !== "" && !/[\p{C}\p{Zl}\p{Zp}]/u.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The key that a text stands for, in either form of {@link showKey}. @throws UsageInvalid for `hex:` with what is no hex. */
export function parseKey(text: string): Key {
  if (!text.startsWith(PREFIX)) return Buffer.from(text, "utf8").toString("latin1");
  const hex = text.slice(PREFIX.length);
  if (!/^([0-9a-f]{2})*$/i.test(hex)) {
    throw new IsthmusError(
      ErrorCode.UsageInvalid,
      `the key ${text} is no hex: expected pairs of hex digits behind "hex:"`,
    );
  }
  return Buffer.from(hex, "hex").toString("latin1");
}
