import type { SiteName } from "../names.ts";
import { covers, coversAll, joinContexts } from "./context.ts";
import type { Context, Dot, Sibling } from "./entry.ts";
import type { Shown } from "./show.ts";

/** What the sites announced about one cache. */
export interface Announced {
  /** Every site that handles the cache, this one included. */
  readonly sites: readonly SiteName[];
  /**
   * Target -> origin -> the highest dot of the origin's log such that the target applied it and all before it. A dead
   * letter, a quarantined version and an open gap all stop it; an origin has always applied its own outbox.
   */
  readonly applied: ReadonlyMap<SiteName, Context>;
  /** Origin -> the highest dot in its log, its outbox included. */
  readonly ends: Context;
}

/**
 * One round of dropping tombstones, for a whole cache. Tombstones whose versions `level` covers had been applied everywhere
 * when the round began: nothing written later is concurrent with them. What was written before ends at `ends`.
 */
export interface TombstoneRound {
  readonly level: Context;
  readonly ends: Context;
}

/** Origin -> the highest dot that every site applied; a site that announced nothing holds it at none. */
export function appliedEverywhere(announced: Announced): Context {
  const level = new Map<SiteName, Dot>();
  for (const origin of announced.ends.keys()) {
    let lowest: Dot | undefined;
    for (const site of announced.sites) {
      const dot = announced.applied.get(site)?.get(origin) ?? 0n;
      if (lowest === undefined || dot < lowest) lowest = dot;
    }
    if (lowest) level.set(origin, lowest);
  }
  return level;
}

/** Step one: notes what is applied everywhere, and the ends of all logs now. */
export function beginRound(announced: Announced): TombstoneRound {
  return { level: appliedEverywhere(announced), ends: announced.ends };
}

/** Step two may be taken: every site has applied every log up to the noted ends. */
export function roundIsOver(round: TombstoneRound, announced: Announced): boolean {
  return coversAll(appliedEverywhere(announced), round.ends);
}

/**
 * Whether a key that holds nothing goes in this round, once it is over; `shows` is what its siblings show. A version that
 * came after the round's begin is not covered, so a key that changed meanwhile stays. An expired put goes only when it has
 * expired at every site: `expiredBefore` is this site's time minus `maxClockSkew` and 2 s. One that only sat idle stays:
 * another site may have seen it used. So does one that a remove hides: another conflict policy would show it, and the sites
 * take neither a round nor a change of policy at the same moment.
 */
export function dropsInRound(
  round: TombstoneRound,
  siblings: readonly Sibling[],
  shows: Shown,
  expiredBefore: number,
): boolean {
  const isOver = ({ kind, expiresAt, offsetMs }: Exclude<Shown, undefined>): boolean =>
    kind === "remove" || (expiresAt !== 0 && expiresAt + offsetMs < expiredBefore);
  if (shows !== undefined && !isOver(shows)) return false;
  return siblings.every((s) => isOver(s) && covers(round.level, s.author, s.dot));
}

/**
 * The cache's floor after a round's drops, to be committed with them: a key without an entry has it as its context. Without
 * it, a late repeat or a resync would bring a dropped key's old versions back.
 */
export function floorAfterRound(floor: Context, round: TombstoneRound): Context {
  return joinContexts(floor, round.ends);
}
