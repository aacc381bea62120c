import { OWN_USE_TOLERANCE_MS, OWN_USES_MAX } from "../topology/limits.ts";
import type {
  CacheConnector,
  CacheEvent,
  CacheInfo,
  CacheListener,
  CacheState,
  Clock,
  ServerRuns,
  WriteOutcome,
} from "../topology/ports.ts";
import type { Key } from "../topology/version/entry.ts";

interface OwnUse {
  /** When Isthmus touched the entry last, ms since the epoch in the cache server's clock; 0: it did not. */
  readonly at: number;
  /** The last use by a client that is known beside it, at any site; 0: none. */
  readonly clientUse: number;
}

/**
 * A cache through which all of Isthmus's reads and writes go, and which remembers those that touched an entry with a
 * max-idle: a read, a write, and a conditional write that is refused all begin the idle time anew, and an entry that only
 * Isthmus touches must end. Iteration touches nothing.
 */
export class OwnUses implements CacheConnector {
  readonly #cache: CacheConnector;
  readonly #clock: Clock;
  readonly #uses = new Map<Key, OwnUse>();

  constructor(cache: CacheConnector, clock: Clock) {
    this.#cache = cache;
    this.#clock = clock;
  }

  open(): Promise<CacheInfo> {
    return this.#cache.open();
  }

  runs(): Promise<ServerRuns> {
    return this.#cache.runs();
  }

  async read(key: Key): Promise<CacheState | undefined> {
    const state = await this.#cache.read(key);
    if (state !== undefined && state.maxIdleMs > 0) this.#touched(key, state.lastUsedAt);
    return state;
  }

  write(
    key: Key,
    expected: bigint | "missing",
    value: Uint8Array,
    expiry: { lifespanMs: number; maxIdleMs: number },
  ): Promise<WriteOutcome> {
    const written = this.#cache.write(key, expected, value, expiry);
    if (expiry.maxIdleMs === 0) return written;
    // Also when there was no answer: it may be done.
    return written.finally(() => this.#touched(key, this.#clock.now()));
  }

  remove(key: Key, expected: bigint): Promise<WriteOutcome> {
    return this.#cache.remove(key, expected);
  }

  listen(onEvent: (event: CacheEvent) => void): Promise<CacheListener> {
    return this.#cache.listen(onEvent);
  }

  scan(signal: AbortSignal): AsyncIterable<ReadonlyArray<{ key: Key; state: CacheState }>> {
    return this.#cache.scan(signal);
  }

  /** When a client last used what an iteration found, ms since the epoch; 0: only Isthmus did, as far as is known. */
  clientUse(key: Key, { lastUsedAt }: CacheState): number {
    const own = this.#uses.get(key);
    const isOwn = own !== undefined && lastUsedAt <= own.at + OWN_USE_TOLERANCE_MS;
    const clientUse = isOwn ? own.clientUse : Math.max(lastUsedAt, own?.clientUse ?? 0);
    // A read that follows, to send the value, hides it.
    this.#remember(key, { at: own?.at ?? 0, clientUse });
    return clientUse;
  }

  /** A client of another site used the key at `at`, ms since the epoch in this site's clock. */
  usedElsewhere(key: Key, at: number): void {
    const own = this.#uses.get(key);
    this.#remember(key, { at: own?.at ?? 0, clientUse: Math.max(at, own?.clientUse ?? 0) });
  }

  #touched(key: Key, at: number): void {
    const own = this.#uses.get(key);
    this.#remember(key, { at: Math.max(at, own?.at ?? 0), clientUse: own?.clientUse ?? 0 });
  }

  /** The keys stay in the order of their last touch, so that the oldest is forgotten first. */
  #remember(key: Key, use: OwnUse): void {
    this.#uses.delete(key);
    this.#uses.set(key, use);
    if (this.#uses.size <= OWN_USES_MAX) return;
    for (const [oldest] of this.#uses) {
      this.#uses.delete(oldest);
      return;
    }
  }
}
