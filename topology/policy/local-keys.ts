import type { CacheConnector } from "../ports.ts";
import type { Key } from "../version/entry.ts";

/** ProtoStream's WrappedMessage of a string begins with this, then its length, seven bits a byte, lowest first. */
const PROTOSTREAM_STRING = 0x4a;
const LENGTH_BYTES_MAX = 5;

/**
 * Tells keys that stay at their site: their text begins with one of these prefixes. A key's text is its bytes as UTF-8, or the
 * string that it is in application/x-protostream.
 */
export function localKeysOf(prefixes: readonly string[]): (key: Key) => boolean {
  const begins = prefixes.map((prefix) => Buffer.from(prefix, "utf8").toString("latin1"));
  return (key) =>
    begins.some((begin) => key.startsWith(begin) || key.startsWith(begin, textAt(key)));
}

/** Where the text of a string in application/x-protostream begins, which is all of the rest; 0 for another key. */
function textAt(key: Key): number {
  if (key.charCodeAt(0) !== PROTOSTREAM_STRING) return 0;
  let [at, length] = [1, 0];
  for (let scale = 1; ; scale *= 0x80, at += 1) {
    const byte = key.charCodeAt(at);
    length += (byte & 0x7f) * scale;
    if (byte < 0x80 || at === LENGTH_BYTES_MAX) break;
  }
  return at + 1 + length === key.length ? at + 1 : 0;
}

/** A cache as it looks without those keys: nobody ever hears of one, reads one or writes one. */
export function withoutKeys(cache: CacheConnector, isLocal: (key: Key) => boolean): CacheConnector {
  return {
    open: () => cache.open(),
    runs: () => cache.runs(),
    read: async (key) => (isLocal(key) ? undefined : cache.read(key)),
    write: async (key, expected, value, expiry) =>
      isLocal(key) ? "lost" : cache.write(key, expected, value, expiry),
    remove: async (key, expected) => (isLocal(key) ? "lost" : cache.remove(key, expected)),
    listen: (onEvent) =>
      cache.listen((event) => {
        if (!isLocal(event.key)) onEvent(event);
      }),
    scan: async function* (signal) {
      for await (const chunk of cache.scan(signal)) yield chunk.filter(({ key }) => !isLocal(key));
    },
  };
}
