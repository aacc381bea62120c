import type { CacheConnector, CacheSite } from "../../../topology/ports.ts";
import type { SimCache } from "./sim-cache.ts";
import { ConnectedCache } from "./sim-connector.ts";
import type { SimProcess } from "./sim-process.ts";

/** The caches of one site. */
export class SimCacheServer {
  readonly caches: ReadonlyMap<string, SimCache>;

  constructor(caches: ReadonlyMap<string, SimCache>) {
    this.caches = caches;
  }

  /** The caches as one process reaches them. */
  connect(process: SimProcess): CacheSite {
    return {
      cache: (name): CacheConnector => new ConnectedCache(this.caches.get(name), name, process),
      names: async () => [...this.caches.keys()],
      close: async () => undefined,
    };
  }

  get isUp(): boolean {
    return [...this.caches.values()].every((cache) => cache.isUp);
  }
}
