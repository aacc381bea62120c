import type { Step } from "./plan.ts";
import type { Profile, SimCacheProfile } from "./profile.ts";
import { NEVER, OFF } from "./sim-config.ts";
import type { SimCache, SimWorldParts } from "./sim-cache.ts";
import type { SimCacheServer } from "./sim-cache-server.ts";

/** Does a write to a key of a cache, and tells whoever waits for its answer. */
export type Through = (
  cache: string,
  key: string,
  write: () => void,
  options: { readonly isDirect: boolean },
) => void;

/** An application at one site: it uses the site's caches and knows nothing of Isthmus. */
export class Client {
  readonly #site: string;
  readonly #server: SimCacheServer;
  readonly #parts: SimWorldParts;
  readonly #profile: Profile;
  readonly #through: Through;
  /** Changes that came in the moment before one of Isthmus. */
  #firsts = 0;

  constructor(
    site: string,
    server: SimCacheServer,
    parts: SimWorldParts,
    profile: Profile,
    through: Through,
  ) {
    this.#through = through;
    this.#site = site;
    this.#server = server;
    this.#parts = parts;
    this.#profile = profile;
  }

  /** One certain write or remove of a key, in a world where nothing else happens; the bytes that it leaves. */
  probe(cacheName: string, key: string, id: string, isRemove: boolean): Buffer | undefined {
    const cache = this.#cache(cacheName);
    if (isRemove) {
      if (cache.peek(key) !== undefined) this.#remove(cache, key);
      return undefined;
    }
    const value = this.#value(cacheName, key, id);
    this.#put(cache, key, value, { lifespanMs: 0, maxIdleMs: 0 }, 1);
    return value;
  }

  /** One operation on a key, of a client that comes in the moment before Isthmus does. */
  first(cacheName: string, key: string): void {
    const used = this.#profile.caches.find(({ name }) => name === cacheName);
    if (used === undefined) return;
    const { random } = this.#parts;
    this.#firsts += 1;
    const cache = this.#cache(cacheName);
    const value = this.#value(cacheName, key, `f${this.#firsts}`);
    const isBrief = random.chance(0.3);
    if (isBrief || random.chance(0.5)) {
      // With a token: where neither the entry nor the write has one, nothing can tell that it came in between.
      this.#put(cache, key, value, this.#expiry(used, random.between(0, 1)), 1);
      if (!isBrief) return;
    }
    this.#remove(cache, key);
  }

  /** One operation, as the step draws it. */
  act({ id, draws }: Step): void {
    if (!this.#server.isUp) return;
    const { caches, keys } = this.#profile;
    const [where = 0, which = 0, what = 0, x = 0, y = 0, z = 0] = draws;
    if (where < 0.05) {
      const name = which < 0.5 ? NEVER : OFF;
      const value = this.#value(name, "mine", id);
      this.#cache(name).put("mine", value, { lifespanMs: 0, maxIdleMs: 0 }, "client");
      return;
    }
    const used = caches[Math.floor(((where - 0.05) / 0.95) * caches.length)] as SimCacheProfile;
    const cache = this.#cache(used.name);
    const key = `k${Math.floor(which * keys)}`;
    if (used.kind === "idle" && y < 0.3) {
      cache.use(key);
      return;
    }
    this.#change(cache, key, what, { value: this.#value(used.name, key, id), x, z, used });
  }

  #change(
    cache: SimCache,
    key: string,
    what: number,
    { value, x, z, used }: { value: Buffer; x: number; z: number; used: SimCacheProfile },
  ): void {
    const present = cache.access(key);
    const { sameBytes, keys } = this.#profile;
    const expiry = this.#expiry(used, x);
    // Re-putting what a merge made would be a write of its own that looks like the merge.
    const mayRepeat = sameBytes && !used.conflict.includes("merge");
    if (what < 0.5) this.#put(cache, key, value, expiry, z);
    else if (what < 0.72) this.#remove(cache, key);
    else if (what < 0.8 && present === undefined) this.#put(cache, key, value, expiry, z);
    else if (what < 0.88 && present !== undefined) this.#put(cache, key, value, expiry, z);
    else if (what < 0.92 && present !== undefined && mayRepeat) {
      const isOther = (present.lifespanMs === 0) !== (expiry.lifespanMs === 0);
      if (isOther) this.#parts.counts.add("rare: equal bytes put with another lifespan");
      this.#put(cache, key, present.value, expiry, z);
    } else if (what < 0.95) {
      const token = cache.newToken();
      for (let i = 0; i < keys; i++) {
        const each = this.#value(used.name, `k${i}`, `${value.toString().split(" ").at(-1)}`);
        this.#put(cache, `k${i}`, each, { lifespanMs: 0, maxIdleMs: 0 }, 1, token);
      }
    } else if (what < 0.965) {
      this.#parts.counts.add("rare: clear");
      for (const each of cache.keys()) this.#remove(cache, each);
    } else if (mayRepeat) this.#put(cache, key, Buffer.from("same"), expiry, z);
  }

  #put(
    cache: SimCache,
    key: string,
    value: Buffer,
    expiry: { lifespanMs: number; maxIdleMs: number },
    draw: number,
    token = cache.newToken(),
  ): void {
    const { trace, counts } = this.#parts;
    const isZero = draw < cache.faults.tokenZero;
    if (isZero) counts.add("fault: write without a token");
    const { lifespanMs, maxIdleMs } = expiry;
    const ends = `${lifespanMs} ${maxIdleMs}`;
    trace(`${this.#site}: client puts ${cache.name}/${key} = ${value.toString()} ${ends}`);
    const put = (): void => void cache.put(key, value, expiry, "client", isZero ? 0n : token);
    // What is written by other means than Hot Rod comes through no front door.
    this.#through(cache.name, key, put, { isDirect: isZero });
  }

  #remove(cache: SimCache, key: string): void {
    this.#parts.trace(`${this.#site}: client removes ${cache.name}/${key}`);
    // The answer to a remove of nothing says that nothing was done.
    const isDirect = cache.access(key) === undefined;
    this.#through(cache.name, key, () => void cache.remove(key, "client"), { isDirect });
  }

  #expiry(used: SimCacheProfile, draw: number): { lifespanMs: number; maxIdleMs: number } {
    const ends = Math.floor(300 + draw * 14_000);
    if (used.kind === "idle") {
      return { lifespanMs: 0, maxIdleMs: draw < 0.6 ? 1_000 + Math.floor(draw * 4_000) : 0 };
    }
    const hasEnd = this.#profile.expiry && draw < 0.5;
    return { lifespanMs: hasEnd ? ends : 0, maxIdleMs: 0 };
  }

  #value(cache: string, key: string, id: number | string): Buffer {
    return Buffer.from(`${this.#site} ${cache} ${key} ${id}`);
  }

  #cache(name: string): SimCache {
    const cache = this.#server.caches.get(name);
    if (cache === undefined) throw new Error(`no cache ${name}`);
    return cache;
  }
}
