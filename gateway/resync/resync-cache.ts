import type { IsthmusError } from "../../topology/errors.ts";
import { LEDGER_PAGE_ROWS } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { CacheHands, CacheLedger, Clock, PeerEntry } from "../../topology/ports.ts";
import {
  type Comparing,
  comparedText,
  digestOf,
  lacksCopy,
} from "../../topology/version/compare.ts";
import type { LogEnd } from "./resync-messages.ts";
import type { Side } from "../../topology/version/compare.ts";
import type { Context, Dot, Entry, Key } from "../../topology/version/entry.ts";

/** One cache of this site as a resync sees it. */
export interface ResyncCache {
  readonly cache: CacheName;
  readonly rows: CacheLedger;
  readonly hands: Pick<CacheHands, "merge" | "tell">;
  readonly floor: Context;
  /** Of the newest change here. */
  readonly dot: Dot;
  readonly policyHash: string;
  /** undefined until the cache was opened. */
  readonly mediaType: string | undefined;
  /** Versions may arrive here. */
  readonly isReady: boolean;
  /** Whether a key without a copy lacks one: not under `invalidate`. */
  readonly copies: boolean;
  /** Why nothing that `peer` pushes is taken here; undefined: it is. */
  refuses(peer: SiteName): IsthmusError | undefined;
  /** Nothing that this site knows of is missing here, but perhaps of `peer`. */
  isLevelBut(peer: SiteName): boolean;
  /** Where this site's own log ends for the cache. */
  readonly logEnd: LogEnd;
  /** A resync made up for all that a site had not got of this site's log up to there. */
  madeUp(site: SiteName, logEnd: LogEnd): void;
}

/** A walk over the rows of a range of keys, a page at a time; others get a turn in between. */
async function* pagesOf(
  rows: CacheLedger,
  range: { readonly after: Key | undefined; readonly upTo: Key | undefined },
  clock: Clock,
): AsyncGenerator<ReadonlyArray<readonly [Key, Entry]>> {
  let { after } = range;
  for (;;) {
    const page = rows.page(after, LEDGER_PAGE_ROWS, range.upTo);
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    if (page.length < LEDGER_PAGE_ROWS) return;
    after = last[0];
    await clock.sleep(0);
  }
}

/** The digest of rows that lie side by side. */
export function pageDigest(page: ReadonlyArray<readonly [Key, Entry]>, by: Comparing): Buffer {
  return digestOf(textOf(page, by));
}

function textOf(page: ReadonlyArray<readonly [Key, Entry]>, by: Comparing): string {
  let text = "";
  for (const [key, entry] of page) text += comparedText(key, entry, by) ?? "";
  return text;
}

/** The digest of a range of keys; goes no further than about `rowsMax` rows: `cutAt` says where it stopped. */
export async function rangeDigest(
  rows: CacheLedger,
  range: { readonly after: Key | undefined; readonly upTo: Key | undefined },
  by: Comparing,
  { clock, rowsMax }: { readonly clock: Clock; readonly rowsMax: number },
): Promise<{ digest: Buffer; rows: number; cutAt: Key | undefined }> {
  let text = "";
  let count = 0;
  let cutAt: Key | undefined;
  for await (const page of pagesOf(rows, range, clock)) {
    text += textOf(page, by);
    count += page.length;
    if (count < rowsMax || page.length < LEDGER_PAGE_ROWS) continue;
    cutAt = page.at(-1)?.[0];
    break;
  }
  return { digest: digestOf(text), rows: count, cutAt };
}

/** Each key of a range that is compared, with a short digest of its own; stops behind `bytesMax` of keys. */
export async function keyDigests(
  rows: CacheLedger,
  range: { readonly after: Key | undefined; readonly upTo: Key | undefined },
  by: Comparing,
  { clock, bytesMax }: { readonly clock: Clock; readonly bytesMax: number },
): Promise<{ keys: Map<Key, string>; cutAt: Key | undefined }> {
  const keys = new Map<Key, string>();
  let bytes = 0;
  for await (const page of pagesOf(rows, range, clock)) {
    for (const [key, entry] of page) {
      const text = comparedText(key, entry, by);
      if (text !== undefined) keys.set(key, digestOf(text).toString("base64", 0, 6));
      bytes += key.length + 16;
      if (bytes >= bytesMax) return { keys, cutAt: key };
    }
  }
  return { keys, cutAt: undefined };
}

/** This site's side of a key. */
export function sideOf(here: ResyncCache, key: Key, by: Comparing): Side {
  const entry = here.rows.get(key);
  const { floor } = here;
  if (entry === undefined) return { versions: undefined, floor, isLive: false, lacksCopy: false };
  const isLive = entry.presence === "live";
  return { versions: entry, floor, isLive, lacksCopy: lacksCopy(entry, by) };
}

/** The peer told each author's offset to its own clock; `offsetMs` is our clock minus the peer's. */
export function inOurClock(entry: PeerEntry, offsetMs: number): PeerEntry {
  if (entry.versions === undefined) return entry;
  const siblings = entry.versions.siblings.map((s) => ({ ...s, offsetMs: s.offsetMs + offsetMs }));
  return { ...entry, versions: { ...entry.versions, siblings } };
}

/** Bytes of an entry's key and of the values that it carries. */
export function entryBytes({ key, versions }: PeerEntry): number {
  let sum = key.length;
  for (const { value } of versions?.siblings ?? []) sum += value?.length ?? 0;
  return sum;
}

/** Merges entries side by side; resolves with the keys that failed, and one of the reasons. */
export async function mergeAll(
  hands: Pick<CacheHands, "merge">,
  entries: readonly PeerEntry[],
): Promise<{ failed: readonly Key[]; error: unknown }> {
  const failed: Key[] = [];
  let error: unknown;
  const merges = entries.map((entry) =>
    hands.merge(entry).catch((reason: unknown) => {
      failed.push(entry.key);
      error = reason;
    }),
  );
  await Promise.all(merges);
  return { failed, error };
}
