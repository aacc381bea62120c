import { AUDIT_KEYS_MAX } from "../topology/limits.ts";
import type { CacheConnector, CacheLedger, CacheState, Clock } from "../topology/ports.ts";
import type { Entry, Key, ValueHash } from "../topology/version/entry.ts";
import { sameExpiry } from "./tail/judge.ts";
import { KeySet } from "./tail/key-set.ts";
import { keysWith } from "./tail/repair.ts";

/** What one look through a cache found beside its ledger. */
export interface Audit {
  /** Entries that the cache holds. */
  readonly entries: number;
  /** Keys whose content is not what the ledger says; the first {@link AUDIT_KEYS_MAX} of `differing`. */
  readonly keys: readonly Key[];
  readonly differing: number;
}

/**
 * Iterates a whole cache and compares each entry's bytes and expiry with the ledger, then looks for rows whose entry it did not
 * find. It changes nothing; what is being written right now differs too.
 */
export async function auditCache(
  parts: {
    readonly connector: Pick<CacheConnector, "scan">;
    readonly rows: CacheLedger;
    readonly hash: (value: Uint8Array) => ValueHash;
    readonly clock: Clock;
  },
  onEntries: (more: number) => void,
  signal: AbortSignal,
): Promise<Audit> {
  const { connector, rows, hash, clock } = parts;
  const found = new KeySet();
  const keys: Key[] = [];
  let [entries, differing] = [0, 0];
  const differs = (key: Key): void => {
    differing += 1;
    if (keys.length < AUDIT_KEYS_MAX) keys.push(key);
  };
  for await (const chunk of connector.scan(signal)) {
    for (const { key, state } of chunk) {
      found.add(key);
      entries += 1;
      if (!isAsSaid(rows.get(key), state, hash(state.value))) differs(key);
    }
    onEntries(chunk.length);
    signal.throwIfAborted();
  }
  for await (const key of keysWith(rows, "live", clock)) {
    signal.throwIfAborted();
    if (found.has(key)) continue;
    const { expiresAt = 0 } = rows.get(key)?.held ?? {};
    // It went away by itself, and nobody needs to be told.
    if (expiresAt === 0 || expiresAt > clock.now()) differs(key);
  }
  return { entries, keys, differing };
}

/** Whether a cache holds what its ledger says of a key. */
export function isAsSaid(
  entry: Entry | undefined,
  state: CacheState | undefined,
  hash: ValueHash,
): boolean {
  const held = entry?.presence === "live" ? entry.held : undefined;
  if (held === undefined || state === undefined) return held === undefined && state === undefined;
  return held.hash === hash && sameExpiry(held, state);
}
