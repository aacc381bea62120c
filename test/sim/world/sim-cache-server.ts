import type { CacheConnector, CacheSite } from "../../../topology/ports.ts";
import type { SimCache } from "./sim-cache.ts";
import { ConnectedCache } from "./sim-connector.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimRandom } from "./sim-random.ts";

/** The cache cluster of one site: its servers hold every entry on more than one of them, so one of many may go and come. */
export class SimCacheServer {
  readonly caches: ReadonlyMap<string, SimCache>;
  readonly #random: SimRandom;
  #runs: ReadonlyMap<string, string>;

  constructor(caches: ReadonlyMap<string, SimCache>, nodes: number, random: SimRandom) {
    this.caches = caches;
    this.#random = random;
    const names = Array.from({ length: nodes }, (_, i) => `server:${i + 1}`);
    this.#runs = new Map(names.map((name) => [name, this.#newRun()]));
  }

  /** Each server's present run; another map after each start of one. */
  get runs(): ReadonlyMap<string, string> {
    return this.#runs;
  }

  /** The caches as one process reaches them. */
  connect(process: SimProcess): CacheSite {
    return {
      cache: (name): CacheConnector =>
        new ConnectedCache(this.caches.get(name), this, name, process),
      names: async () => [...this.caches.keys()],
      protobufSchema: async () => undefined,
      close: async () => undefined,
    };
  }

  get isUp(): boolean {
    return [...this.caches.values()].every((cache) => cache.isUp);
  }

  /** All servers go at once. */
  stop(): void {
    for (const cache of this.caches.values()) cache.stop();
  }

  /** Starts every server again, with nothing in it, if they are down. */
  startEmpty(): void {
    if (this.isUp) return;
    this.#runs = new Map([...this.#runs.keys()].map((name) => [name, this.#newRun()]));
    for (const cache of this.caches.values()) cache.startEmpty();
  }

  /** One of several servers is started anew: the others hold what it held, but its listeners are gone. */
  restartNode(draw: number, hasListeners: boolean): boolean {
    const names = [...this.#runs.keys()];
    if (names.length < 2 || !this.isUp) return false;
    const name = names[Math.floor(draw * names.length)] ?? "";
    this.#runs = new Map(this.#runs).set(name, this.#newRun());
    if (hasListeners) {
      for (const cache of this.caches.values()) cache.breakListeners(`${name} went away`);
    }
    return true;
  }

  #newRun(): string {
    return `boot ${this.#random.bytes(4).toString("hex")}`;
  }
}
