import type { Versions } from "./entry.ts";

/** The longest max-idle of a key's puts, ms; undefined if one of them has none: the key never goes idle. */
export function maxIdleOf({ siblings }: Versions): number | undefined {
  let longest: number | undefined;
  for (const { kind, maxIdleMs } of siblings) {
    if (kind !== "put") continue;
    if (maxIdleMs === 0) return undefined;
    longest = Math.max(longest ?? 0, maxIdleMs);
  }
  return longest;
}

/** When a client last put the key, at any site, ms since the epoch in this site's clock; 0: never. */
export function writtenAt({ siblings }: Versions): number {
  let latest = 0;
  for (const { kind, at, offsetMs } of siblings) {
    if (kind === "put") latest = Math.max(latest, at + offsetMs);
  }
  return latest;
}
