import { LEDGER_PAGE_ROWS } from "../../topology/limits.ts";
import { decodeBatch } from "../../topology/mutation/batch.ts";
import { logSubject, type SiteName } from "../../topology/names.ts";
import type { StoredMessage } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { Arrival } from "../../topology/version/join.ts";
import { arrivalOf } from "../../gateway/receive/receiver.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/**
 * After an unclean end: the versions that the last run may have applied, or published, without committing them. They lie
 * behind the ledger's last PubAck in the own log, and between position and apply bound in each mirror.
 */
export async function uncommittedVersions(
  site: Site,
  cache: HandledCache,
): Promise<ReadonlyMap<Key, readonly Arrival[]>> {
  const { ports, positions, head, name } = site;
  const window = new Map<Key, Arrival[]>();
  const own = logSubject(name, cache.name);
  const ownEnd = (await ports.log.state())?.lastSeq ?? 0;
  collect(window, name, 0, await ports.log.window(own, head.lastSeq, ownEnd));
  for (const { origin } of cache.receivers) {
    const { seq, bound } = positions.get(origin, cache.name);
    if (bound <= seq) continue;
    const subject = logSubject(origin, cache.name);
    const records = await ports.mirrors.get(origin)?.window(subject, seq, bound);
    collect(window, origin, site.offsetFrom(origin), records ?? []);
  }
  return window;
}

/**
 * The ledger was lost: replays the own log and every mirror into it, a page at a time, before anything is captured, and
 * starts the site's dots above every own dot that they hold.
 */
export async function rebuildFromLogs(
  site: Site,
  cache: HandledCache,
  agent: CacheAgent,
): Promise<void> {
  const { ports, name } = site;
  const sources = [
    { author: name, log: ports.log, offsetMs: 0 },
    ...cache.receivers.map(({ origin }) => ({
      author: origin,
      log: ports.mirrors.get(origin),
      offsetMs: site.offsetFrom(origin),
    })),
  ];
  let versions = 0;
  for (const { author, log, offsetMs } of sources) {
    const state = await log?.state();
    if (log === undefined || state === undefined) continue;
    const subject = logSubject(author, cache.name);
    for (let after = state.firstSeq - 1; after < state.lastSeq; after += LEDGER_PAGE_ROWS) {
      const end = Math.min(after + LEDGER_PAGE_ROWS, state.lastSeq);
      const window = new Map<Key, Arrival[]>();
      collect(window, author, offsetMs, await log.window(subject, after, end));
      for (const [key, arrivals] of window) {
        agent.rebuild(key, arrivals);
        versions += arrivals.length;
        if (author === name) for (const { dot } of arrivals) site.dots.startAbove(dot);
      }
      await ports.ledger.commit();
    }
  }
  ports.logger.warn(
    { cache: cache.name, versions },
    "the ledger was lost: rebuilt from the own log and the mirrors, now the cache is scanned",
  );
}

function collect(
  window: Map<Key, Arrival[]>,
  author: SiteName,
  offsetMs: number,
  records: readonly StoredMessage[],
): void {
  for (const { payload } of records) {
    for (const mutation of decodeBatch(payload).mutations) {
      const arrivals = window.get(mutation.key) ?? [];
      arrivals.push(arrivalOf(mutation, author, offsetMs));
      window.set(mutation.key, arrivals);
    }
  }
}
