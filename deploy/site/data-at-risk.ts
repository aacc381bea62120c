import type { SiteName } from "../../topology/names.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/** What one target has not confirmed of one cache: what would be lost if this site died now. */
export interface RiskNow {
  readonly mutations: number;
  readonly bytes: number;
  /** Of the oldest, ms since the epoch; undefined: there is none. */
  readonly oldestAt: number | undefined;
  /** What an earlier run sent is not confirmed either, and not in the figures. */
  readonly isAtLeast: boolean;
  /** The sequence of the present log up to which the target applied the cache; 0: it never said. */
  readonly confirmedSeq: number;
}

/** The figures now; the cache must have that target. */
export function dataAtRisk(site: Site, cache: HandledCache, target: SiteName): RiskNow {
  const unconfirmed = cache.unconfirmed.get(target);
  const sent = unconfirmed?.atRisk();
  const outbox = cache.agent?.rows.outboxSize();
  const { incarnation } = site.head;
  const applied = site.heartbeat.last(target)?.beat.content.applied[site.name]?.[cache.name];
  // Two ways lead here, at most once each: what came first counts. Of what an earlier run sent only heartbeats tell.
  const byBeat = applied?.incarnation === incarnation ? applied.seq : 0;
  const confirmedSeq = Math.max(byBeat, unconfirmed?.confirmedSeq(incarnation) ?? 0);
  const { earlierEnd } = cache;
  // A log that was made anew since then holds nothing of it; the peers have a gap that says so.
  const isAtLeast =
    earlierEnd === undefined ||
    (earlierEnd.incarnation === incarnation && confirmedSeq < earlierEnd.seq);
  const times = [sent?.oldestAt, outbox?.oldestAtMs].filter((at) => at !== undefined);
  return {
    mutations: (sent?.mutations ?? 0) + (outbox?.rows ?? 0),
    bytes: (sent?.bytes ?? 0) + (outbox?.bytes ?? 0),
    oldestAt: times.length === 0 ? undefined : Math.min(...times),
    isAtLeast,
    confirmedSeq,
  };
}
