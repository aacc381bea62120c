import { protostreamTextAt } from "../key-text.ts";
import type { CacheConnector } from "../ports.ts";
import type { Key } from "../version/entry.ts";

/**
 * Tells keys that stay at their site: their text begins with one of these prefixes. A key's text is its bytes as UTF-8, or the
 * string that it is in application/x-protostream.
 */
export function localKeysOf(prefixes: readonly string[]): (key: Key) => boolean {
  const begins = prefixes.map((prefix) => Buffer.from(prefix, "utf8").toString("latin1"));
  return (key) => {
    const at = protostreamTextAt(key);
    return begins.some((begin) => key.startsWith(begin) || key.startsWith(begin, at));
  };
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
