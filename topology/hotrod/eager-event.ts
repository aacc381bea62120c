import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

/** The name of the server's converter whose events carry key, value and version. */
export const EAGER_CONVERTER = "___eager-key-value-version-converter";

/** What an event of the eager converter carries; value and token are there together, or neither. */
export interface EagerEvent {
  readonly key: Buffer;
  readonly value: Buffer | undefined;
  /** The entry's version. */
  readonly token: bigint | undefined;
}

/**
 * Reads the `data` of an event made by the eager converter: the key, then value and version if there is anything left.
 * The buffers are views. Source: Infinispan's `KeyValueVersionConverter.java`.
 * @throws IsthmusError HotRodProtocol
 */
export function decodeEagerEvent(data: Buffer): EagerEvent {
  const r = new Reader(data);
  const key = r.bytes();
  const hasValue = r.offset < data.length && !r.isShort;
  const value = hasValue ? r.bytes() : undefined;
  const token = hasValue ? r.i64() : undefined;
  if (r.isShort) r.malformed(`an eager event of ${r.needed} bytes or more, found ${data.length}`);
  if (r.offset !== data.length) r.malformed(`an eager event of ${r.offset} bytes`);
  return { key, value, token };
}

/** The inverse of {@link decodeEagerEvent}. */
export function encodeEagerEvent(event: EagerEvent): Buffer {
  const w = new Writer();
  w.bytes(event.key);
  if (event.value !== undefined) {
    w.bytes(event.value);
    w.i64(event.token ?? 0n);
  }
  return w.finish();
}
