import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Dot } from "../../topology/version/entry.ts";
import type { BeatContent } from "../../gateway/link/heartbeat.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/**
 * The sites from which this one takes nothing of one cache: they were away for longer than `tombstones.maxAge`, so tombstones
 * that they had not applied go, and what they hold could bring removed keys back (I3). It ends when the site was re-seeded;
 * changes that it made before that are void for good. Facts of the ledger.
 */
export class Refusals {
  readonly #site: Site;
  readonly #cache: HandledCache;
  /** Peer to since when, ms since the epoch: with the site that says it, the identity of a refusal. */
  readonly #refused = new Map<SiteName, number>();
  /** Peer to the newest of its dots that are void. */
  readonly #void = new Map<SiteName, Dot>();

  constructor(site: Site, cache: HandledCache) {
    this.#site = site;
    this.#cache = cache;
    for (const peer of site.peers) {
      const since = site.ports.ledger.fact(this.#fact(peer));
      if (typeof since === "number") this.#refused.set(peer, since);
      const dot = site.ports.ledger.fact(this.#voidFact(peer));
      if (typeof dot === "bigint") this.#void.set(peer, dot);
    }
  }

  has(peer: SiteName): boolean {
    return this.#refused.has(peer);
  }

  /** Since when, ms since the epoch; undefined: it is not refused. */
  since(peer: SiteName): number | undefined {
    return this.#refused.get(peer);
  }

  get peers(): readonly SiteName[] {
    return [...this.#refused.keys()];
  }

  /** Changes of a peer up to here that have not arrived never will. */
  voidUpTo(peer: SiteName): Dot {
    return this.#void.get(peer) ?? 0n;
  }

  /** Takes nothing of a peer from now on. Staged. */
  refuse(peer: SiteName): void {
    if (this.has(peer)) return;
    const { ports } = this.#site;
    const since = ports.clock.now();
    this.#refused.set(peer, since);
    ports.ledger.setFact(this.#fact(peer), since);
    const { message, code, hint } = this.refusal(peer);
    ports.logger.error({ peer, cache: this.#cache.name, code, hint }, message);
  }

  /** Takes changes of a peer again. Staged. */
  lift(peer: SiteName): void {
    if (!this.#refused.delete(peer)) return;
    this.#site.ports.ledger.setFact(this.#fact(peer), undefined);
  }

  /** A heartbeat of a peer came: it may say that it was re-seeded. */
  heard(peer: SiteName, { reseeded }: BeatContent): void {
    const { name } = this.#cache;
    const done = reseeded?.[name];
    if (done === undefined) return;
    const { ports, peers } = this.#site;
    if (done.upTo > this.voidUpTo(peer)) {
      this.#void.set(peer, done.upTo);
      ports.ledger.setFact(this.#voidFact(peer), done.upTo);
    }
    const since = this.#refused.get(peer);
    if (since === undefined || done.answers[this.#site.name] !== since) return;
    this.lift(peer);
    this.#cache.tombstones?.reseeded(peer);
    ports.logger.info({ peer, cache: name }, "a site was re-seeded: its changes are taken again");
    // What the sites did to each other meanwhile went past this one, in either direction.
    for (const other of peers) this.#cache.openPeerGap(other, `${peer} was re-seeded`);
  }

  /** Since when a peer refuses this site, as it says; undefined: it does not. */
  by(peer: SiteName): number | undefined {
    const { heartbeat, name } = this.#site;
    return heartbeat.last(peer)?.beat.content.refused?.[name]?.[this.#cache.name];
  }

  /** The peers that say that they refuse this site. */
  get byPeers(): readonly SiteName[] {
    return this.#site.peers.filter((peer) => this.by(peer) !== undefined);
  }

  /** What a peer that is refused is told, and what an operator reads. */
  refusal(peer: SiteName): IsthmusError {
    const { name, peers } = this.#site;
    return reseedNeeded(this.#cache.name, peer, peers.length === 1 ? name : undefined);
  }

  /** What this site tells its operator while a peer refuses it. */
  ownRefusal(by: SiteName): IsthmusError {
    return reseedNeeded(this.#cache.name, this.#site.name, by);
  }

  #fact(peer: SiteName): string {
    return `refused/${this.#cache.name}/${peer}`;
  }

  #voidFact(peer: SiteName): string {
    return `void/${this.#cache.name}/${peer}`;
  }
}

function reseedNeeded(cache: string, site: SiteName, from: SiteName | undefined): IsthmusError {
  return new IsthmusError(
    ErrorCode.ReseedNeeded,
    `${site} was away from ${cache} for longer than limits.tombstones.maxAge: nothing of it is taken until it is re-seeded`,
    {
      hint: `isthmus resync --from ${from ?? "SITE"} --to ${site} --cache ${cache} --reseed --confirm ${site}`,
    },
  );
}
