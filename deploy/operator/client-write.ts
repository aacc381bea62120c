import { CAPTURE_WAIT_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { CacheConnector, CacheLedger, CacheState, Clock } from "../../topology/ports.ts";
import type { Dot, Expiry, Key } from "../../topology/version/entry.ts";

/** One cache of this site, as an operator's command works on it. */
export interface OperatedCache {
  /** Not the agent's: what it does counts as a client's. */
  readonly connector: Pick<CacheConnector, "read" | "write" | "remove">;
  readonly rows: Pick<CacheLedger, "get">;
  readonly hash: (value: Uint8Array) => string;
}

/** How a write ended. `written`: done, but not captured within the time that this waits. */
export type ClientWritten =
  | { readonly is: "captured"; readonly dot: Dot }
  | { readonly is: "written" }
  | { readonly is: "lost" };

/**
 * Writes to the local cache as a client does: the tail then captures it as a local change, a new version that supersedes all
 * that this site has seen of the key, and sends it everywhere (I4 counts it as a change).
 */
export class ClientWrite {
  readonly #cache: OperatedCache;
  readonly #site: SiteName;
  readonly #clock: Clock;

  constructor(cache: OperatedCache, site: SiteName, clock: Clock) {
    this.#cache = cache;
    this.#site = site;
    this.#clock = clock;
  }

  /** If the key is still as it was read: `before`, undefined when it was missing. Expiry in this site's clock. */
  async put(
    key: Key,
    before: CacheState | undefined,
    value: Uint8Array,
    { expiresAt, maxIdleMs }: Expiry,
  ): Promise<ClientWritten> {
    const dot = this.#dotOf(key);
    const lifespanMs = expiresAt === 0 ? 0 : Math.max(1, expiresAt - this.#clock.now());
    const { connector } = this.#cache;
    const expected = before?.token ?? "missing";
    const outcome = await connector.write(key, expected, value, { lifespanMs, maxIdleMs });
    return outcome === "lost" ? { is: "lost" } : this.#captured(key, dot);
  }

  /** If the key is still as it was read. */
  async remove(key: Key, before: CacheState): Promise<ClientWritten> {
    const dot = this.#dotOf(key);
    const outcome = await this.#cache.connector.remove(key, before.token);
    return outcome === "lost" ? { is: "lost" } : this.#captured(key, dot);
  }

  /** Waits until the tail gave the key a dot above `before`. */
  async #captured(key: Key, before: Dot): Promise<ClientWritten> {
    const until = this.#clock.monotonic() + CAPTURE_WAIT_MS;
    do {
      const dot = this.#dotOf(key);
      if (dot > before) return { is: "captured", dot };
      await this.#clock.sleep(10);
    } while (this.#clock.monotonic() < until);
    return { is: "written" };
  }

  #dotOf(key: Key): Dot {
    return this.#cache.rows.get(key)?.context.get(this.#site) ?? 0n;
  }
}
