import { ErrorCode, IsthmusError } from "./errors.ts";
import type { Key } from "./version/entry.ts";

const PREFIX = "hex:";
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * A key for people and JSON: as UTF-8 when every character is printable, else `hex:...`. So is a key that begins with `hex:`,
 * so that no two keys look alike.
 */
export function showKey(key: Key): string {
  const bytes = Buffer.from(key, "latin1");
  try {
    const text = decoder.decode(bytes);
    // The decoder drops a byte order mark: then the text is not the bytes.
    const isWhole = Buffer.byteLength(text) === bytes.length;
    if (isWhole && text !== "" && !/[\p{C}\p{Zl}\p{Zp}]/u.test(text) && !text.startsWith(PREFIX)) {
      return text;
    }
  } catch {
    // No UTF-8.
  }
  return PREFIX + bytes.toString("hex");
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
