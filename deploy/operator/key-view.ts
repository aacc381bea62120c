import type { Entry, Key } from "../../topology/version/entry.ts";
import type { CacheState } from "../../topology/ports.ts";
import type { SiteName } from "../../topology/names.ts";
import { showKey } from "../../topology/key-text.ts";
import { isAsSaid } from "../../site-agent/audit.ts";

/** One version of a key, without its bytes. */
export interface VersionLine {
  readonly author: SiteName;
  /** Decimal. */
  readonly dot: string;
  /** ms since the epoch in the author's clock. */
  readonly at: number;
  readonly kind: "put" | "remove";
  readonly hash: string;
}

/** What one site's cache holds of a key, and what its ledger says of it. Never the value: it may be a secret. */
export interface KeyView {
  readonly site: SiteName;
  /** As `showKey` has it. */
  readonly key: string;
  /** null: the cache has no entry. Times in the site's clock. */
  readonly content: {
    readonly hash: string;
    readonly bytes: number;
    readonly expiresAt: number;
    readonly maxIdleMs: number;
  } | null;
  readonly presence: "live" | "tombstone" | "absent" | "unknown";
  readonly versions: readonly VersionLine[];
  /** Site to the newest dot that was seen of it, decimal. */
  readonly seen: Readonly<Record<SiteName, string>>;
  /** The cache holds what the ledger says. */
  readonly isAsSaid: boolean;
}

/** The view of one key. */
export function keyView(
  site: SiteName,
  key: Key,
  entry: Entry | undefined,
  found: { readonly state: CacheState | undefined; readonly hash: string },
): KeyView {
  const { state, hash } = found;
  const versions = (entry?.siblings ?? []).map(({ author, dot, at, kind, hash: of }) => {
    return { author, dot: dot.toString(), at, kind, hash: of };
  });
  const seen = [...(entry?.context ?? [])].map(
    ([author, dot]) => [author, dot.toString()] as const,
  );
  return {
    site,
    key: showKey(key),
    content:
      state === undefined
        ? null
        : {
            hash,
            bytes: state.value.length,
            expiresAt: state.expiresAt,
            maxIdleMs: state.maxIdleMs,
          },
    presence: entry?.presence ?? "unknown",
    versions,
    seen: Object.fromEntries(seen),
    isAsSaid: isAsSaid(entry, state, hash),
  };
}
