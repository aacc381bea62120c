import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { RESYNC_AGAIN_MS_MAX } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import { cachesOf, targetsOf } from "../../topology/policy/cache-policy.ts";
import type { PeerEntry } from "../../topology/ports.ts";
import type { Context } from "../../topology/version/entry.ts";
import { Resync } from "../../gateway/resync/resync.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { HandledCache } from "./handled-cache.ts";
import { rebuildFromLogs, recoverUncommitted } from "./recovery.ts";
import { resyncCacheOf } from "./resync-cache-of.ts";
import type { Site } from "./site.ts";

/** The ledger's note that a cache's rows are still to be rebuilt: the ledger was lost, and an end in between must not forget it. */
const rebuildFact = (cache: CacheName): string => `rebuild/${cache}`;

/** Stages that note for every cache; to be committed with the first that the new ledger knows of the log. */
export function noteLedgerLost({ ports, config }: Pick<Site, "ports" | "config">): void {
  for (const cache of cachesOf(config)) ports.ledger.setFact(rebuildFact(cache), true);
}

/** Staged: a scan has learned what the cache holds of a ledger that was rebuilt. */
export function rebuilt({ ports }: Site, cache: CacheName): void {
  const fact = rebuildFact(cache);
  if (ports.ledger.fact(fact) === true) ports.ledger.setFact(fact, undefined);
}

interface Rebuilding {
  readonly site: Site;
  readonly cache: HandledCache;
  readonly agent: CacheAgent;
  readonly signal: AbortSignal;
}

/** Before anything is captured: rebuilds a ledger that was lost; else brings in what an unclean end left out of it. */
export async function recoverOrRebuild(
  site: Site,
  cache: HandledCache,
  agent: CacheAgent,
  signal: AbortSignal,
): Promise<void> {
  const rebuilding = { site, cache, agent, signal };
  const sources = site.peers.filter((peer) =>
    targetsOf(site.config, cache.policy, peer).includes(site.name),
  );
  if (site.ports.ledger.fact(rebuildFact(cache.name)) === true) {
    agent.rebuildLost();
    await rebuildFromLogs(site, cache, agent);
    for (const peer of site.peers) cache.peerGaps.open(peer, "the ledger was lost");
    for (const peer of sources) {
      if (!site.without.has(peer)) await untilTold(rebuilding, peer);
    }
    if (!(await areLogsWhole(site))) agent.rebuildBlind();
  } else if (site.isFresh) {
    // New, or its log was lost too: a peer that answers knows which.
    for (const peer of sources) await takeVersions(rebuilding, peer).catch(() => undefined);
    if (agent.lastDot > 0n) agent.rebuildBlind();
  } else return recoverUncommitted(site, cache, agent);
  await site.ports.ledger.commit();
}

/** Whether the own log and each mirror hold all that was ever written to them. */
async function areLogsWhole({ ports }: Site): Promise<boolean> {
  const logs = [ports.log, ...ports.mirrors.values()];
  const states = await Promise.all(logs.map((log) => log.state()));
  return states.every((state) => state !== undefined && state.firstSeq <= 1);
}

/**
 * While a peer does not answer nothing of the cache is captured, because what only the peer knows would be taken for a local
 * change (I6).
 */
async function untilTold(rebuilding: Rebuilding, peer: SiteName): Promise<void> {
  const { site, cache, signal } = rebuilding;
  const { clock, random, logger } = site.ports;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      return await takeVersions(rebuilding, peer);
    } catch (error) {
      if (signal.aborted) return;
      if (attempt === 0) {
        logger.error(
          { peer, cache: cache.name, err: error, code: ErrorCode.RebuildWaits },
          `the ledger was lost: nothing is captured until ${peer} tells what it knows`,
        );
      }
      const waits = { firstMs: 100, mostMs: RESYNC_AGAIN_MS_MAX };
      await clock.sleep(backOffMs(attempt, waits, random), signal);
    }
  }
}

/** Takes a peer's versions, tombstones included, without touching the cache: what the logs have trimmed only the peers know. */
async function takeVersions(
  { site, cache, agent, signal }: Rebuilding,
  peer: SiteName,
): Promise<void> {
  const { bus, clock, random, logger, ledger } = site.ports;
  const note = (context: Context | undefined): void => site.noteOwnDot(cache.name, context);
  const merge = async (entry: PeerEntry): Promise<"kept"> => {
    agent.rebuild(entry.key, entry);
    note(entry.versions?.context);
    await ledger.commit();
    return "kept";
  };
  const hands = { merge, tell: () => Promise.resolve([]) };
  const here = resyncCacheOf(site, cache, agent, hands);
  const offsetMs = (): number => site.offsetFrom(peer);
  const parts = { site: site.name, peer, here, bus, clock, random, offsetMs };
  const resync = new Resync(
    { ...parts, onProgress: () => undefined },
    { pull: "versions", push: false },
  );
  const { peerFloor, received } = await resync.run(signal);
  note(peerFloor);
  await agent.tombstones.raise(peerFloor);
  logger.info(
    { peer, cache: cache.name, received },
    "rebuilding the ledger: took a peer's versions",
  );
}
