import { PEER_SILENT_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import { localName } from "../../topology/policy/cache-policy.ts";
import type { Inbound } from "../../gateway/receive/inbound.ts";
import type { Receiver } from "../../gateway/receive/receiver.ts";
import type { OfflineMark } from "../../gateway/status/offline-rule.ts";
import { dataAtRisk } from "../site/data-at-risk.ts";
import type { HandledCache } from "../site/handled-cache.ts";
import type { Site } from "../site/site.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { told } from "./error-told.ts";
import type {
  CacheStatus,
  HoldStatus,
  OriginStatus,
  ResyncStatus,
  TargetStatus,
} from "./site-status.ts";

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
    ...stateOf(site, cache),
    gap: agent?.gap ?? null,
    pausedSince: cache.pause.since ?? null,
    dirty: agent?.dirty ?? 0,
    outbox: {
      rows: outbox.rows,
      bytes: outbox.bytes,
      oldestMs: outbox.oldestAtMs === undefined ? null : ageOf(site, outbox.oldestAtMs),
    },
    targets: [...cache.unconfirmed.keys()].map((name) => targetOf(site, cache, name)),
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
    hold: holdOf(site, cache),
    singleUse: cache.singleUse
      ? { ...cache.singleUse.stats, grantedNow: cache.singleUse.granted }
      : null,
    resync: resyncOf(cache),
    tombstonesDropped: {
      all: cache.tombstones?.dropped ?? 0,
      forced: cache.tombstones?.forced ?? 0,
    },
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

function holdOf({ frontDoor }: Site, { hold }: HandledCache): HoldStatus | null {
  if (frontDoor === undefined || hold === undefined) return null;
  const degradedTargets = [...hold.degraded].map(([target, since]) => ({ target, since }));
  const holdMsCounts = [...hold.stats.holdMsCounts];
  return { ...hold.stats, holdMsCounts, waiting: hold.waiting, degradedTargets };
}

function stateOf(
  site: Site,
  { agent, policy, hold }: HandledCache,
): Pick<CacheStatus, "state" | "why" | "code"> {
  if (agent === undefined)
    return { state: policy.mode === "never" ? "never" : "off", why: policy.reason, code: null };
  const { state, problem } = agent;
  if (problem !== undefined) return { state, ...told(problem) };
  if (state !== "live" || hold === undefined) return { state, why: null, code: null };
  if (site.frontDoor === undefined) return { state: "unheld", why: UNHELD, code: null };
  const { notAwaited } = hold;
  if (notAwaited.length === 0) return { state: "held", why: null, code: null };
  const why = `writers get their answer before ${notAwaited.join(", ")} has the write, until it is level again`;
  return { state: "degraded", why, code: ErrorCode.HoldTimeout };
}

/** Clocks jump: an age is never negative. */
const ageOf = (site: Site, at: number): number => Math.max(0, site.ports.clock.now() - at);

function targetOf(site: Site, cache: HandledCache, target: SiteName): TargetStatus {
  const { oldestAt, confirmedSeq, ...figures } = dataAtRisk(site, cache, target);
  const atRisk = { ...figures, ageMs: oldestAt === undefined ? 0 : ageOf(site, oldestAt) };
  return {
    target,
    ...targetState(site, cache, target, atRisk),
    atRisk,
    confirmedSeq: confirmedSeq === 0 ? null : confirmedSeq,
    refusesThis: cache.refusals.by(target) !== undefined,
    offline: cache.targets.mark(target) ?? null,
  };
}

function targetState(
  site: Site,
  cache: HandledCache,
  target: SiteName,
  atRisk: TargetStatus["atRisk"],
): Pick<TargetStatus, "state" | "why"> {
  const mark = cache.targets.mark(target);
  if (mark !== undefined) return { state: "offline", why: offlineText(mark, cache, target) };
  const silenceMs = site.heartbeat.silenceMs(target);
  if (silenceMs > PEER_SILENT_MS) {
    const why = Number.isFinite(silenceMs)
      ? `no heartbeat for ${Math.round(silenceMs / 1000)} s`
      : "no heartbeat since this process started";
    return { state: "silent", why };
  }
  const trouble = site.heartbeat.last(target)?.beat.content.troubles?.[cache.name];
  if (trouble === "paused") return { state: "paused", why: "an operator paused it there" };
  if (atRisk.mutations > 0) return { state: "catching up", why: null };
  if (!atRisk.isAtLeast) return { state: "up to date", why: null };
  return { state: "catching up", why: "it has not confirmed what an earlier run sent" };
}

function offlineText(mark: OfflineMark, cache: HandledCache, target: SiteName): string {
  if (!mark.isReturning) return `taken ${mark.why}`;
  const waits = cache.targets.lacks(target) ?? "it is level, and is to stay so for a while";
  return `${mark.by === "rule" ? mark.why : `taken ${mark.why}`}; back when level: ${waits}`;
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
    state: cache.pause.isOn ? "paused" : blocked === undefined ? inbound.state : "blocked",
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
    refusedSince: cache.refusals.since(origin) ?? null,
    voided: stats.voided,
    refused: stats.refused,
    retries: stats.retries,
    counterGaps: stats.counterGaps,
    deadLetters: stats.deadLetters,
    gap: gap === undefined ? null : { reason: gap.reason, since: gap.since },
  };
}
