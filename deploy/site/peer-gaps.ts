import type { CacheName, SiteName } from "../../topology/names.ts";
import type { Clock, Ledger, Logger } from "../../topology/ports.ts";

/** A gap toward one peer: what it wrote may not all have arrived, or the other way round. */
export interface PeerGap {
  readonly peer: SiteName;
  readonly reason: string;
  /** ms since the epoch. */
  readonly since: number;
}

/** The open gaps of one cache toward the other sites: facts of the ledger, so that a restart does not forget them (I7). */
export class PeerGaps {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #cache: CacheName;
  readonly #open = new Map<SiteName, PeerGap>();
  /** How often one was opened, those of earlier runs that are still open among them. */
  opened = 0;
  /** Called when one opens. */
  onOpen: () => void = () => undefined;

  constructor(
    { ledger, clock, logger }: { ledger: Ledger; clock: Clock; logger: Logger },
    cache: CacheName,
    peers: readonly SiteName[],
  ) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#logger = logger;
    this.#cache = cache;
    for (const peer of peers) {
      const gap = ledger.fact(this.#fact(peer)) as PeerGap | undefined;
      if (gap !== undefined) this.#open.set(peer, gap);
    }
    this.opened = this.#open.size;
  }

  get size(): number {
    return this.#open.size;
  }

  get(peer: SiteName): PeerGap | undefined {
    return this.#open.get(peer);
  }

  [Symbol.iterator](): IterableIterator<[SiteName, PeerGap]> {
    return this.#open.entries();
  }

  /** Something of a peer may have been missed. Staged: committed with the position that passes it, or earlier. */
  open(peer: SiteName, reason: string): void {
    const known = this.#open.get(peer);
    this.opened += 1;
    // Another object: a repair that is under way may have passed what is missing now, so it closes nothing.
    const gap = known === undefined ? { peer, reason, since: this.#clock.now() } : { ...known };
    this.#open.set(peer, gap);
    this.#ledger.setFact(resyncFact(this.#cache, peer), undefined);
    if (known === undefined) {
      this.#ledger.setFact(this.#fact(peer), gap);
      this.#logger.error({ peer, cache: this.#cache, reason }, "gap toward a peer");
    }
    this.onOpen();
  }

  /** Staged. False: something more was missed since this gap was looked at. */
  close(gap: PeerGap): boolean {
    if (this.#open.get(gap.peer) !== gap) return false;
    this.#open.delete(gap.peer);
    this.#ledger.setFact(this.#fact(gap.peer), undefined);
    this.#ledger.setFact(resyncFact(this.#cache, gap.peer), undefined);
    return true;
  }

  #fact(peer: SiteName): string {
    return `peerGap/${this.#cache}/${peer}`;
  }
}

/** The ledger's note of how far the repair of a gap has come. */
export const resyncFact = (cache: CacheName, peer: SiteName): string => `resync/${cache}/${peer}`;
