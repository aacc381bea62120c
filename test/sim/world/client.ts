import type { Profile } from "./profile.ts";
import { NEVER, OFF } from "./profile.ts";
import { hashOf, type SimCache, type SimWorldParts } from "./sim-cache.ts";
import type { SimCacheServer } from "./sim-cache-server.ts";
import type { SimRandom } from "./sim-random.ts";

/** An application at one site: it writes to the site's caches and knows nothing of Isthmus. */
export class Client {
  readonly #site: string;
  readonly #server: SimCacheServer;
  readonly #parts: SimWorldParts;
  readonly #profile: Profile;
  readonly #random: SimRandom;
  #writes = 0;
  #isOn = true;

  constructor(site: string, server: SimCacheServer, parts: SimWorldParts, profile: Profile) {
    this.#site = site;
    this.#server = server;
    this.#parts = parts;
    this.#profile = profile;
    this.#random = parts.random.fork();
    this.#next();
  }

  stop(): void {
    this.#isOn = false;
  }

  /** One certain write or remove of a key, in a world where nothing else happens any more. */
  probe(cacheName: string, key: string): string | undefined {
    const cache = this.#cache(cacheName);
    if (this.#random.chance(0.4)) {
      if (cache.peek(key) !== undefined) this.#remove(cache, key);
      return cache.peek(key) === undefined ? undefined : "removed";
    }
    const value = this.#value(cacheName, key);
    this.#put(cache, key, value, 0);
    return hashOf(value);
  }

  #next(): void {
    const random = this.#random;
    this.#parts.time.after(random.between(0, 2 * this.#profile.paceMs), () => {
      if (!this.#isOn) return;
      if (this.#server.isUp) this.#act();
      this.#next();
    });
  }

  #act(): void {
    const { caches, keys } = this.#profile;
    const random = this.#random;
    if (random.chance(0.05)) {
      const name = random.pick([NEVER, OFF]);
      this.#cache(name).put("mine", this.#value(name, "mine"), 0, "client");
      return;
    }
    const { name } = random.pick(caches);
    const cache = this.#cache(name);
    const key = `k${random.below(keys)}`;
    const value = this.#value(name, key);
    const present = cache.access(key);
    const draw = random.next();
    if (draw < 0.5) this.#put(cache, key, value, this.#lifespan());
    else if (draw < 0.72) this.#remove(cache, key);
    else if (draw < 0.8 && present === undefined) this.#put(cache, key, value, this.#lifespan());
    else if (draw < 0.88 && present !== undefined) this.#put(cache, key, value, this.#lifespan());
    else if (draw < 0.92 && present !== undefined && this.#profile.sameBytes) {
      this.#put(cache, key, present.value, this.#lifespan());
    } else if (draw < 0.95) {
      const token = cache.newToken();
      for (let i = 0; i < keys; i++) {
        this.#put(cache, `k${i}`, this.#value(name, `k${i}`), 0, token);
      }
    } else if (draw < 0.96) for (const each of cache.keys()) this.#remove(cache, each);
    else if (this.#profile.sameBytes) this.#put(cache, key, Buffer.from("same"), this.#lifespan());
  }

  #put(cache: SimCache, key: string, value: Buffer, lifespanMs: number, token?: bigint): void {
    const { trace, counts } = this.#parts;
    const isZero = this.#random.chance(cache.faults.tokenZero);
    if (isZero) counts.add("fault: write without a token");
    trace(`${this.#site}: client puts ${cache.name}/${key} = ${value.toString()} ${lifespanMs}`);
    cache.put(key, value, lifespanMs, "client", isZero ? 0n : (token ?? cache.newToken()));
  }

  #remove(cache: SimCache, key: string): void {
    this.#parts.trace(`${this.#site}: client removes ${cache.name}/${key}`);
    cache.remove(key, "client");
  }

  #lifespan(): number {
    if (!this.#profile.expiry || this.#random.chance(0.5)) return 0;
    return Math.floor(this.#random.between(300, 15_000));
  }

  #value(cache: string, key: string): Buffer {
    this.#writes += 1;
    return Buffer.from(`${this.#site} ${cache} ${key} ${this.#writes}`);
  }

  #cache(name: string): SimCache {
    const cache = this.#server.caches.get(name);
    if (cache === undefined) throw new Error(`no cache ${name}`);
    return cache;
  }
}
