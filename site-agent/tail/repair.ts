import type { CacheConnector, CacheLedger, Clock } from "../../topology/ports.ts";
import type { Entry, Key, ValueHash } from "../../topology/version/entry.ts";
import { LEDGER_PAGE_ROWS } from "../../topology/limits.ts";
import type { Capture } from "./capture.ts";
import { KeySet } from "./key-set.ts";

/** What a scan found. */
export interface ScanResult {
  /** Entries that the cache holds. */
  readonly scanned: number;
  /** Of them, those that were not as the ledger says and went to capture. */
  readonly different: number;
  /** Keys that the ledger called live when the scan began, and those of them that the cache did not hold. */
  readonly live: number;
  readonly missing: number;
}

/**
 * Local repair of a gap: compares every entry of the cache with the ledger by token and bytes, and counts what is missing. What
 * differs is handed to capture, which reads it again under its key's lock.
 */
export async function scanCache(
  parts: {
    readonly connector: CacheConnector;
    readonly rows: CacheLedger;
    readonly capture: Capture;
    readonly clock: Clock;
    readonly hash: (value: Uint8Array) => ValueHash;
  },
  gapStart: number,
  signal: AbortSignal,
): Promise<ScanResult & { found: KeySet }> {
  const { connector, rows, capture, clock, hash } = parts;
  const before = new KeySet();
  for await (const key of keysWith(rows, "live", clock)) before.add(key);
  const found = new KeySet();
  let different = 0;
  for await (const chunk of connector.scan(signal)) {
    for (const { key, state } of chunk) {
      found.add(key);
      const held = rows.get(key)?.held;
      const isHeld = held !== undefined && held.token === state.token && state.token !== 0n;
      // A write that draws no token (REST, embedded) leaves the entry's.
      if (isHeld && held.hash === hash(state.value)) continue;
      different += 1;
      await markWhenItFits(capture, key, gapStart, true);
    }
  }
  // What clients or other sites put meanwhile may have come behind the scan's back: it is not missing.
  let missing = 0;
  for await (const key of keysWith(rows, "live", clock)) {
    if (before.has(key) && !found.has(key)) missing += 1;
  }
  return { scanned: found.size, different, live: before.size, missing, found };
}

/** Hands every live row whose key the scan did not find to capture, which confirms each by a read. */
export async function markMissing(
  parts: { readonly rows: CacheLedger; readonly capture: Capture; readonly clock: Clock },
  found: KeySet,
  gapStart: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const key of keysWith(parts.rows, "live", parts.clock)) {
    if (signal.aborted) return;
    if (!found.has(key)) await markWhenItFits(parts.capture, key, gapStart, false);
  }
}

/** The keys of one presence; others get a turn after each page, because the listener must always be read. */
export async function* keysWith(
  rows: CacheLedger,
  presence: Entry["presence"],
  clock: Clock,
): AsyncIterable<Key> {
  let after: Key | undefined;
  for (;;) {
    const page = rows.page(after, LEDGER_PAGE_ROWS);
    for (const [key, entry] of page) if (entry.presence === presence) yield key;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last[0];
    await clock.sleep(0);
  }
}

async function markWhenItFits(
  capture: Capture,
  key: Key,
  gapStart: number,
  isThere: boolean,
): Promise<void> {
  while (!capture.onScanned(key, gapStart, isThere)) await capture.drained();
}
