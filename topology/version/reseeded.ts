import type { SiteName } from "../names.ts";
import { mergedWith } from "./compare.ts";
import { covers, withDot } from "./context.ts";
import type { Context, Dot, Sibling, Versions } from "./entry.ts";
import { seen } from "./join.ts";

/** A site that is re-seeded: changes of its own up to `upTo` that the others do not have are void. */
export interface Reseeding {
  readonly site: SiteName;
  readonly upTo: Dot;
}

/**
 * An entry of a site that is re-seeded, after a peer told its own: **replaced**, not merged, because what the site holds may be
 * what the peer dropped the tombstone of (I3). It has seen what the peer has and the site's own void dots, and nothing more,
 * so that whatever else it held can come back from a site that still has it. A key that the site wrote after `upTo` is merged
 * as ever. undefined: neither has an entry.
 */
export function reseededEntry(
  entry: Versions | undefined,
  floor: Context,
  peer: { readonly versions: Versions | undefined; readonly floor: Context },
  { site, upTo }: Reseeding,
): Versions | undefined {
  if (entry?.siblings.some((s) => s.author === site && s.dot > upTo) === true) {
    return mergedWith(entry, floor, peer);
  }
  if (entry === undefined && peer.versions === undefined) return undefined;
  const context = withDot(seen(peer.versions, peer.floor), site, upTo);
  return { context, siblings: peer.versions?.siblings ?? [] };
}

/** Versions of the site's own that nobody else will have: what {@link reseededEntry} takes out and the peer has never seen. */
export function voided(
  entry: Versions | undefined,
  peer: { readonly versions: Versions | undefined; readonly floor: Context },
  { site, upTo }: Reseeding,
): readonly Sibling[] {
  const theirs = seen(peer.versions, peer.floor);
  return (entry?.siblings ?? []).filter(
    ({ author, dot }) => author === site && dot <= upTo && !covers(theirs, author, dot),
  );
}
