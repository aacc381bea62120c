import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { Dot } from "../../topology/version/entry.ts";
import type { Reseeding } from "../../topology/version/reseeded.ts";
import type { Reseeded } from "../../gateway/link/heartbeat.ts";
import type { ResyncProgress, ResyncResult } from "../../gateway/resync/resync.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { ResyncOptions } from "./peer-repair.ts";
import type { Site } from "./site.ts";

/** The ledger's note of a re-seeding: of the last one that ended, and of the one at work. */
interface Note {
  readonly from: SiteName;
  /** A small 64-bit number may come back as a number. */
  readonly upTo: Dot | number;
  /** Site to the refusal that it ends, by its time. */
  readonly answers: Readonly<Record<SiteName, number>>;
  readonly progress?: ResyncProgress | undefined;
}

const doneFact = (cache: CacheName): string => `reseeded/${cache}`;
const openFact = (cache: CacheName): string => `reseeding/${cache}`;

/** How a cache of this site was re-seeded last, as the heartbeats tell it. */
export function reseededOf({ ports }: Site, cache: CacheName): Reseeded | undefined {
  const note = ports.ledger.fact(doneFact(cache)) as Note | undefined;
  return note && { upTo: BigInt(note.upTo), answers: note.answers };
}

/**
 * Replaces what one cache of this site holds by what a peer holds, because this site was away for longer than tombstones are
 * kept: changes of its own up to the moment it began are void, and those that nobody else knew go to the journal of
 * conflicts. It goes on where it stood, also after a restart. In the end it opens a gap toward every peer, for what they did
 * meanwhile, and tells them by its heartbeats.
 *
 * @throws OperationRefused, and as a resync does
 */
export async function reseed(
  site: Site,
  cache: HandledCache,
  from: SiteName,
  signal: AbortSignal,
  options: ResyncOptions,
): Promise<ResyncResult> {
  const { ledger, logger } = site.ports;
  const { agent, repair, name, refusals } = cache;
  if (agent === undefined || repair === undefined) throw refused(`${name} is not handled here`);
  const open = ledger.fact(openFact(name)) as Note | undefined;
  const note = open?.from === from ? open : begin(site, cache, from);
  ledger.setFact(openFact(name), note);
  await ledger.sync();
  logger.warn({ from, cache: name }, "the cache is being re-seeded: replaced by another site's");
  const reseeding: Reseeding = { site: site.name, upTo: BigInt(note.upTo) };
  const result = await repair.resync(from, { pull: "replacement", push: false }, signal, {
    ...options,
    resume: note.progress,
    reseeding,
    onProgress: (progress, more) => {
      ledger.setFact(openFact(name), { ...note, progress });
      options.onProgress?.(progress, more);
    },
  });
  // What was dropped elsewhere is forgotten here too: whom that site refuses, this one has to refuse.
  const theirs = site.heartbeat.last(from)?.beat.content.refused ?? {};
  for (const peer of refusals.peers) if (theirs[peer]?.[name] === undefined) refusals.lift(peer);
  for (const peer of site.peers) {
    if (peer !== from && theirs[peer]?.[name] !== undefined) refusals.refuse(peer);
    cache.tombstones?.reseeded(peer);
    cache.openPeerGap(peer, `this site was re-seeded from ${from}`);
  }
  ledger.setFact(openFact(name), undefined);
  const { progress: _progress, ...done } = note;
  ledger.setFact(doneFact(name), done);
  await ledger.sync();
  const { differing, received } = result;
  logger.info({ from, cache: name, differing, received }, "the cache was re-seeded");
  return result;
}

function begin(site: Site, cache: HandledCache, from: SiteName): Note {
  const { agent, refusals, name } = cache;
  const answers: Record<SiteName, number> = {};
  for (const peer of refusals.byPeers) answers[peer] = refusals.by(peer) ?? 0;
  if (Object.keys(answers).length === 0) {
    throw refused(
      `no site refuses what ${site.name} holds of ${name}: there is nothing to re-seed it for`,
      "Without --reseed what it lacks is sent, and what it alone has stays.",
    );
  }
  for (const peer of site.peers) {
    const theirs = site.heartbeat.last(peer)?.beat.content.refused;
    if (peer !== from && theirs?.[from]?.[name] !== undefined)
      throw refused(`${from} is refused by ${peer} itself`, "Re-seed from a site that is not.");
  }
  if (agent?.gap !== undefined || agent?.isReady !== true)
    throw refused(`${name} is being scanned at ${site.name}`, "Try again when it is live.");
  return { from, upTo: agent.lastDot, answers };
}

const refused = (why: string, hint?: string): IsthmusError =>
  new IsthmusError(ErrorCode.OperationRefused, why, hint === undefined ? {} : { hint });
