import { IDLE_LOOK_REST_RATIO } from "../topology/limits.ts";
import type { CacheLedger, CacheState, Clock, LastUse, Ledger } from "../topology/ports.ts";
import type { Key } from "../topology/version/entry.ts";
import type { ConflictPolicy } from "../topology/policy/conflict.ts";
import { maxIdleShown, writtenAt } from "../topology/version/max-idle.ts";
import { type MergeRegistry, shown, valuesNeeded } from "../topology/version/show.ts";
import type { CacheStats } from "./cache-stats.ts";
import type { KeyLocks } from "./key-locks.ts";
import type { OwnUses } from "./own-uses.ts";
import { keysWith } from "./tail/repair.ts";

const NO_COPY: LastUse = { usedAt: 0, heldUntil: 0 };

/** What one iteration will answer, and what is asked of it until it starts. */
interface Look {
  readonly keys: Set<Key>;
  readonly found: Promise<ReadonlyMap<Key, LastUse>>;
}

/**
 * The entries with a max-idle of one cache at one site. One that has no copy here ended by idling, or its copy was lost:
 * either way it lives on only if a client used it at a peer, so it waits as `absent` until the peers were asked. And what
 * this site tells the peers that ask.
 */
export class IdleKeys {
  readonly #ledger: Ledger;
  readonly #rows: CacheLedger;
  readonly #locks: KeyLocks;
  readonly #uses: OwnUses;
  readonly #stats: CacheStats;
  readonly #clock: Clock;
  readonly #policy: ConflictPolicy;
  readonly #merges: MergeRegistry;
  #next: Look | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** Monotonic ms. */
  #restUntil = 0;

  constructor(parts: {
    readonly ledger: Ledger;
    readonly rows: CacheLedger;
    readonly locks: KeyLocks;
    readonly uses: OwnUses;
    readonly stats: CacheStats;
    readonly clock: Clock;
    readonly policy: ConflictPolicy;
    readonly merges: MergeRegistry;
  }) {
    this.#ledger = parts.ledger;
    this.#rows = parts.rows;
    this.#locks = parts.locks;
    this.#uses = parts.uses;
    this.#stats = parts.stats;
    this.#clock = parts.clock;
    this.#policy = parts.policy;
    this.#merges = parts.merges;
  }

  /** The max-idle of a key that waits for the peers' answers, ms; undefined: it does not wait (any more). */
  waiting(key: Key): number | undefined {
    const entry = this.#rows.get(key);
    if (entry?.presence !== "absent") return undefined;
    return maxIdleShown(entry.siblings, this.#policy, this.#merges);
  }

  /** Whether the lifespan of what shows of a key is over: no copy of it will come any more. */
  hasEnded(key: Key): boolean {
    const { siblings = [] } = this.#rows.get(key) ?? {};
    if (valuesNeeded(siblings, this.#policy).length > 0) return false;
    const shows = shown(siblings, this.#policy, this.#merges);
    if (shows?.kind !== "put" || shows.expiresAt === 0) return false;
    return shows.expiresAt + shows.offsetMs <= this.#clock.now();
  }

  /** The keys that wait. */
  waitingKeys(): AsyncGenerator<Key> {
    return this.absentKeys(true);
  }

  /** The keys without a copy here: those with a max-idle, or the others. */
  async *absentKeys(idles: boolean): AsyncGenerator<Key> {
    for await (const key of keysWith(this.#rows, "absent", this.#clock)) {
      if ((this.waiting(key) !== undefined) === idles) yield key;
    }
  }

  /** No client used it: ends the entry here, unless a write came meanwhile. Resolves when that is committed, with whether it did. */
  expire(key: Key): Promise<boolean> {
    return this.#locks.run(key, async () => {
      const entry = this.#rows.get(key);
      if (entry === undefined || this.waiting(key) === undefined) return false;
      this.#stats.expired += 1;
      this.#rows.put(key, { ...entry, presence: "tombstone", held: undefined });
      await this.#ledger.commit();
      return true;
    });
  }

  /** A client of a peer used the key at `at` (this site's clock): told on to who asks, though the copy here is not used. */
  usedElsewhere(key: Key, at: number): void {
    this.#uses.usedElsewhere(key, at);
  }

  /**
   * When clients last used these keys here, in their order: found by one iteration for all that is asked meanwhile, which
   * touches nothing. The next one waits a multiple of the time that it took.
   */
  async lastUses(keys: readonly Key[]): Promise<readonly LastUse[]> {
    const look = (this.#next ??= this.#plan());
    for (const key of keys) look.keys.add(key);
    const found = await look.found;
    return keys.map((key) => found.get(key) ?? NO_COPY);
  }

  #plan(): Look {
    const keys = new Set<Key>();
    const found = this.#last.then(async () => {
      await this.#clock.sleep(Math.max(0, this.#restUntil - this.#clock.monotonic()));
      this.#next = undefined;
      const begun = this.#clock.monotonic();
      try {
        return await this.#look(keys);
      } finally {
        const ended = this.#clock.monotonic();
        this.#restUntil = ended + IDLE_LOOK_REST_RATIO * (ended - begun);
      }
    });
    this.#last = found.catch(() => undefined);
    return { keys, found };
  }

  async #look(keys: ReadonlySet<Key>): Promise<ReadonlyMap<Key, LastUse>> {
    const found = new Map<Key, LastUse>();
    for await (const chunk of this.#uses.scan(new AbortController().signal)) {
      for (const { key, state } of chunk) {
        if (keys.has(key)) found.set(key, this.#useOf(key, state));
      }
    }
    return found;
  }

  #useOf(key: Key, state: CacheState): LastUse {
    // It was written anew, to live on unused: the peer needs it.
    if (state.maxIdleMs === 0) return { usedAt: this.#clock.now(), heldUntil: 0 };
    const entry = this.#rows.get(key);
    const written = entry === undefined ? 0 : writtenAt(entry);
    const usedAt = Math.max(this.#uses.clientUse(key, state), written);
    return { usedAt, heldUntil: state.lastUsedAt + state.maxIdleMs };
  }
}
