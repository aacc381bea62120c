import { PEER_SILENT_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import { localName } from "../../topology/policy/cache-policy.ts";
import type { Inbound } from "../../gateway/receive/inbound.ts";
import type { Receiver } from "../../gateway/receive/receiver.ts";
import type { Unconfirmed } from "../../gateway/status/unconfirmed.ts";
import type { HandledCache } from "../site/handled-cache.ts";
import type { Site } from "../site/site.ts";
import { told } from "./error-told.ts";
import type { CacheStatus, OriginStatus, ResyncStatus, TargetStatus } from "./site-status.ts";

const UNHELD =
  "writers get their answer before the targets have the write: no front door runs here";

/** One cache's status now. */
export function readCache(site: Site, cache: HandledCache): CacheStatus {
  const { agent, policy, receivers } = cache;
  const outbox = agent?.rows.outboxSize() ?? { rows: 0, bytes: 0, oldestAtMs: undefined };
  return {
    cache: cache.name,
    localName: localName(policy, site.name),
    mode: policy.mode,
    ...stateOf(cache),
    gap: agent?.gap ?? null,
    dirty: agent?.dirty ?? 0,
    outbox: {
      rows: outbox.rows,
      bytes: outbox.bytes,
      oldestMs: outbox.oldestAtMs === undefined ? null : ageOf(site, outbox.oldestAtMs),
    },
    targets: [...cache.unconfirmed].map(([name, sent]) => targetOf(site, cache, name, sent)),
    origins: site.inbounds.flatMap((inbound) => {
      const receiver = receivers.find(({ origin }) => origin === inbound.origin);
      return agent === undefined || receiver === undefined
        ? []
        : [originOf(site, cache, inbound, receiver)];
    }),
    conflicts: agent?.stats.conflicts ?? 0,
    deadLetters:
      receivers.reduce((sum, receiver) => sum + receiver.stats.deadLetters, 0) +
      (agent?.stats.oversized ?? 0),
    resync: resyncOf(cache),
    counters: agent === undefined ? null : Object.assign({}, agent.stats),
  };
}

function resyncOf({ repair }: HandledCache): ResyncStatus | null {
  if (repair === undefined) return null;
  const { repaired, received, sent, running } = repair;
  if (running === undefined) return { repaired, received, sent, running: null };
  const { peer, resync } = running;
  const { compared, counts } = resync;
  const { differing } = counts;
  return {
    repaired,
    received: received + counts.received,
    sent: sent + counts.sent,
    running: { peer, compared, differing },
  };
}

function stateOf({ agent, policy }: HandledCache): Pick<CacheStatus, "state" | "why" | "code"> {
  if (agent === undefined)
    return { state: policy.mode === "never" ? "never" : "off", why: policy.reason, code: null };
  const { state, problem } = agent;
  if (problem !== undefined) return { state, ...told(problem) };
  if (state === "live" && policy.mode === "sync")
    return { state: "unheld", why: UNHELD, code: null };
  return { state, why: null, code: null };
}

/** Clocks jump: an age is never negative. */
const ageOf = (site: Site, at: number): number => Math.max(0, site.ports.clock.now() - at);

function targetOf(
  site: Site,
  cache: HandledCache,
  target: SiteName,
  unconfirmed: Unconfirmed,
): TargetStatus {
  const sent = unconfirmed.atRisk();
  const outbox = cache.agent?.rows.outboxSize();
  const applied = site.heartbeat.last(target)?.beat.content.applied[site.name]?.[cache.name];
  const { incarnation } = site.head;
  // Two ways lead here, at most once each: what came first counts.
  const byBeat = applied?.incarnation === incarnation ? applied.seq : 0;
  const confirmed = Math.max(byBeat, unconfirmed.confirmedSeq(incarnation));
  const confirmedSeq = confirmed === 0 ? null : confirmed;
  const { earlierEnd } = cache;
  // A log that was made anew since then holds nothing of it; the peers have a gap that says so.
  const isAtLeast =
    earlierEnd === undefined ||
    (earlierEnd.incarnation === incarnation && confirmed < earlierEnd.seq);
  const oldest = Math.min(
    sent.oldestAt ?? Number.POSITIVE_INFINITY,
    outbox?.oldestAtMs ?? Number.POSITIVE_INFINITY,
  );
  const atRisk = {
    mutations: sent.mutations + (outbox?.rows ?? 0),
    bytes: sent.bytes + (outbox?.bytes ?? 0),
    ageMs: Number.isFinite(oldest) ? ageOf(site, oldest) : 0,
    isAtLeast,
  };
  return { target, ...targetState(site, target, atRisk), atRisk, confirmedSeq };
}

function targetState(
  site: Site,
  target: SiteName,
  atRisk: TargetStatus["atRisk"],
): Pick<TargetStatus, "state" | "why"> {
  const silenceMs = site.heartbeat.silenceMs(target);
  if (silenceMs > PEER_SILENT_MS) {
    const { afterSilenceMs } = site.config.limits.takeOffline;
    const why = Number.isFinite(silenceMs)
      ? `no heartbeat for ${Math.round(silenceMs / 1000)} s`
      : "no heartbeat since this process started";
    const isLong = Number.isFinite(silenceMs) && silenceMs > afterSilenceMs;
    return { state: isLong ? "offline" : "silent", why };
  }
  if (atRisk.mutations > 0) return { state: "catching up", why: null };
  if (!atRisk.isAtLeast) return { state: "up to date", why: null };
  return { state: "catching up", why: "it has not confirmed what an earlier run sent" };
}

function originOf(
  site: Site,
  cache: HandledCache,
  inbound: Inbound,
  receiver: Receiver,
): OriginStatus {
  const { origin } = inbound;
  const { stats, blocked } = receiver;
  const ends = site.heartbeat.last(origin)?.beat.content.ends[cache.name];
  const gap = cache.peerGaps.get(origin);
  return {
    origin,
    state: blocked === undefined ? inbound.state : "blocked",
    why: blocked ?? inbound.problem ?? null,
    position: receiver.applied().seq,
    mirrorEnd: inbound.mirror?.lastSeq ?? null,
    announcedEnd: ends?.logSeq ?? null,
    lagMs:
      stats.lagCount === 0
        ? null
        : { last: stats.lagMsLast, mean: Math.round(stats.lagMsSum / stats.lagCount) },
    mutations: stats.mutations,
    bytes: stats.bytes,
    refused: stats.refused,
    retries: stats.retries,
    counterGaps: stats.counterGaps,
    deadLetters: stats.deadLetters,
    gap: gap === undefined ? null : { reason: gap.reason, since: gap.since },
  };
}
