import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { LEDGER_PAGE_ROWS, RECOVERY_UNHEARD_MS_MAX } from "../../topology/limits.ts";
import { readableBatch } from "../../topology/mutation/batch.ts";
import { type CacheName, logSubject, type SiteName } from "../../topology/names.ts";
import { cachesOf } from "../../topology/policy/cache-policy.ts";
import type { MirrorState, StoredMessage } from "../../topology/ports.ts";
import type { Dot, Key } from "../../topology/version/entry.ts";
import type { Arrival } from "../../topology/version/join.ts";
import { arrivalOf } from "../../gateway/receive/receiver.ts";
import type { Uncommitted } from "../../site-agent/apply/recovery.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { Standing } from "../../site-agent/tail/log-head.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/**
 * The ledger's note that a cache is still to be recovered after an unclean end, and where the own log stood for the ledger
 * then: acknowledgements of this run, or a crash before the recovery ended, must not shorten what is looked at.
 */
const recoverFact = (cache: CacheName): string => `recover/${cache}`;

/** Stages that note for every cache; to be called before this run publishes anything. */
export function noteUncleanEnd({ ports, head, config }: Site): void {
  const { ledger } = ports;
  const known = [...ledger.facts("alive/")].map(([name]) => name.slice("alive/".length));
  for (const cache of new Set([...known, ...cachesOf(config)])) {
    const fact = recoverFact(cache);
    if (ledger.fact(fact) === undefined) ledger.setFact(fact, head.standing);
  }
}

/** After an unclean end: brings in what the last run did to the cache without committing it. */
export async function recoverUncommitted(
  site: Site,
  cache: HandledCache,
  agent: CacheAgent,
): Promise<void> {
  const { ledger } = site.ports;
  const fact = recoverFact(cache.name);
  const from = ledger.fact(fact) as Standing | undefined;
  if (from === undefined) return;
  await agent.recover(() => uncommittedVersions(site, cache, from));
  ledger.setFact(fact, undefined);
  await ledger.commit();
}

/**
 * The versions that the last run may have applied, or published, without committing them. They lie behind the ledger's last
 * PubAck in the own log, and between position and apply bound in each mirror.
 */
async function uncommittedVersions(
  site: Site,
  cache: HandledCache,
  from: Standing,
): Promise<Uncommitted> {
  const { ports, positions, head, name } = site;
  const published = new Map<Key, Arrival[]>();
  const arrivals = new Map<Key, Arrival[]>();
  const own = logSubject(name, cache.name);
  const ownEnd = (await ports.log.state())?.lastSeq ?? 0;
  const ownSeq = from.incarnation === head.incarnation ? from.lastSeq : 0;
  const ours = { author: name, cache: cache.name, offsetMs: 0 };
  collect(published, ours, await ports.log.window(own, ownSeq, ownEnd));
  for (const { origin } of cache.receivers) {
    const { seq, bound } = positions.get(origin, cache.name);
    if (bound <= seq) continue;
    const subject = logSubject(origin, cache.name);
    const mirror = ports.mirrors.get(origin);
    const state = await mirror?.state();
    const isSame = state?.created === positions.mirrorOf(origin, cache.name);
    if (!isSame && !isFilled(site, origin, state, bound)) {
      throw new IsthmusError(
        ErrorCode.MirrorReplaced,
        `the mirror of ${origin} is not there yet, or not filled again, so what the last run applied from it is not known`,
      );
    }
    const records = await mirror?.window(subject, seq, bound);
    const above = cache.refusals.voidUpTo(origin);
    const theirs = { author: origin, cache: cache.name, offsetMs: site.offsetFrom(origin), above };
    collect(arrivals, theirs, records ?? []);
  }
  return { published, arrivals };
}

/**
 * Whether a mirror that was made anew since the last run has again what that applied, up to `bound`: while it is being filled
 * it would say that nothing was. Where its origin is not heard of, it is taken as it is after a while.
 */
function isFilled(
  { heartbeat, ports, startedAt }: Site,
  origin: SiteName,
  mirror: MirrorState | undefined,
  bound: number,
): boolean {
  if (mirror === undefined) return false;
  const end = heartbeat.last(origin)?.beat.content.log?.lastSeq;
  if (end !== undefined) return mirror.lastSeq >= Math.min(end, bound);
  const waited = ports.clock.monotonic() - startedAt;
  return mirror.lastSeq >= bound || waited >= RECOVERY_UNHEARD_MS_MAX;
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
      const source = { author, cache: cache.name, offsetMs };
      collect(window, source, await log.window(subject, after, end));
      for (const [key, arrivals] of window) {
        agent.rebuild(key, arrivals);
        versions += arrivals.length;
        for (const { dot, context } of arrivals) {
          site.noteOwnDot(cache.name, author === name ? new Map([[name, dot]]) : context);
        }
      }
      await ports.ledger.commit();
    }
  }
  ports.logger.warn(
    { cache: cache.name, versions },
    "the ledger was lost: rebuilt from the own log and the mirrors, now the cache is scanned",
  );
}

/** Adds the mutations of an author's records, in the order of the log. @throws WireVersionUnknown */
function collect(
  window: Map<Key, Arrival[]>,
  source: {
    readonly author: SiteName;
    readonly cache: CacheName;
    readonly offsetMs: number;
    /** Up to here its changes are void. */
    readonly above?: Dot;
  },
  records: readonly StoredMessage[],
): void {
  const { author, cache, offsetMs } = source;
  for (const { payload } of records) {
    const batch = readableBatch(payload);
    // The receiver refuses such a batch, and sets aside what cannot be read: neither was applied.
    if (batch === undefined || batch.header.origin !== author || batch.header.cache !== cache) {
      continue;
    }
    for (const mutation of batch.mutations) {
      if (mutation.dot <= (source.above ?? 0n)) continue;
      const arrivals = window.get(mutation.key) ?? [];
      arrivals.push(arrivalOf(mutation, author, offsetMs));
      window.set(mutation.key, arrivals);
    }
  }
}
