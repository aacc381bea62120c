import { logSubject } from "../../../topology/names.ts";
import { cacheOf, rowOf } from "./checkers.ts";
import type { SimCacheProfile } from "./profile.ts";
import { FACT_PREFIX } from "./sim-ledger.ts";
import type { SimSite } from "./sim-site.ts";

/** What is still to be done somewhere; undefined: nothing. */
export function unrestOf(
  sites: readonly SimSite[],
  caches: readonly SimCacheProfile[],
  keysOf: (cache: string) => readonly string[],
): string | undefined {
  for (const at of sites) {
    if (at.site === undefined || at.isStopping) return `${at.name} does not run`;
    const ofLogs = unrestOfLog(at) ?? unrestOfMirrors(at, sites);
    if (ofLogs !== undefined) return `${at.name}: ${ofLogs}`;
    for (const cache of caches) {
      const why =
        unrestOfAgent(at, cache.name) ??
        unrestOfReceivers(at, sites, cache.name) ??
        (cache.kind === "invalidate" ? undefined : absentKey(at, sites, cache, keysOf(cache.name)));
      if (why !== undefined) return `${at.name}: ${cache.name} ${why}`;
    }
  }
  return undefined;
}

/** A log that is not as its site left it, which the site is to find. */
function unrestOfLog({ site, ground }: SimSite): string | undefined {
  const end = ground.log.stream?.lastSeq;
  if (end === undefined) return "has no log";
  return end < (site?.head.lastSeq ?? 0) ? "has a log that lost its end" : undefined;
}

/** A mirror of a log that is gone, which its site is to find, and to know of. */
function unrestOfMirrors({ ground, disk }: SimSite, sites: readonly SimSite[]): string | undefined {
  for (const [origin, mirror] of ground.mirrors) {
    const of = sites.find(({ name }) => name === origin)?.ground.log.stream?.created;
    if (of === undefined) continue;
    if (mirror.state()?.originCreated !== of) return `has no mirror of ${of}`;
    if (disk.get(`${FACT_PREFIX}log/of/${origin}`) !== of) return `does not know ${of} yet`;
  }
  return undefined;
}

function unrestOfAgent({ site }: SimSite, name: string): string | undefined {
  const cache = site?.caches.get(name);
  const agent = cache?.agent;
  if (cache === undefined || agent === undefined) return "is not there yet";
  if (agent.state !== "live") return `is ${agent.state}`;
  if (agent.gap !== undefined) return `has a gap: ${agent.gap.reason}`;
  if (agent.dirty > 0) return `has ${agent.dirty} dirty keys`;
  if (agent.outboxRows > 0) return `has ${agent.outboxRows} rows in the outbox`;
  for (const [peer, gap] of cache.peerGaps) return `has a gap toward ${peer}: ${gap.reason}`;
  return undefined;
}

function unrestOfReceivers(
  { site }: SimSite,
  sites: readonly SimSite[],
  name: string,
): string | undefined {
  for (const receiver of site?.caches.get(name)?.receivers ?? []) {
    const origin = sites.find((s) => s.name === receiver.origin);
    const end = origin?.ground.log.stream?.last(logSubject(receiver.origin, name))?.seq ?? 0;
    if (!receiver.isIdle) return `is applying from ${receiver.origin}`;
    // What it was told that it will never get, a resync has made up for.
    const created = origin?.ground.log.stream?.created ?? "";
    const told = site?.positions.knownUpTo(receiver.origin, name, created) ?? 0;
    const seq = Math.max(receiver.applied().seq, told);
    if (seq < end) return `is at ${seq} of ${end} of ${receiver.origin}`;
  }
  return undefined;
}

/** A key without a copy, unless every cache lost its copy: then it waits for a site that never comes. */
function absentKey(
  at: SimSite,
  sites: readonly SimSite[],
  { name, kind }: SimCacheProfile,
  keys: readonly string[],
): string | undefined {
  for (const key of keys) {
    if (rowOf(at, name, key)?.presence !== "absent") continue;
    const isLost = sites.every((s) => {
      const isThere = cacheOf(s, name).peek(key) !== undefined;
      return !isThere && (kind === "evicts" || rowOf(s, name, key)?.presence === "absent");
    });
    // One with a max-idle does not wait: without a last use at any site it counts as gone idle.
    const versions = rowOf(at, name, key)?.siblings ?? [];
    const [newest] = versions.toSorted((a, b) => b.at - a.at);
    const mayIdle = (newest?.maxIdleMs ?? 0) > 0;
    if (isLost && !mayIdle) continue;
    const rows = sites.map((s) => {
      const row = rowOf(s, name, key);
      const siblings = row?.siblings.map((v) => `${v.author} ${v.dot} ${v.at} ${v.hash}`);
      return `${s.name} ${row?.presence}: ${siblings?.join(", ")}`;
    });
    return `has no copy of ${key} (${rows.join("; ")})`;
  }
  return undefined;
}
