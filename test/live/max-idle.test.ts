import { describe, expect, it } from "vitest";
import type { CacheOptions } from "../../deploy/lab/infinispan-config.ts";
import type { CacheStats } from "../../site-agent/cache-stats.ts";
import type { JavaCache } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

// Entries with a max-idle at two sites: on embedded caches and on real Infinispans, the same sentences. Every look at what a
// cache holds is an iteration, which does not count as a use.

const CACHE = "sessions";
const IDLE_MS = 3_000;
const LONG_MS = 600_000;
const NAMES = ["nyc", "lon"] as const;
type Name = (typeof NAMES)[number];
const REAPED: CacheOptions = { expirationIntervalMs: 300 };

const key = (name: string): Buffer => Buffer.from(name);
const value = key;

function twoSites(caches: Readonly<Record<string, CacheOptions>> | undefined) {
  return shared(async () => {
    const started = await ReplicatedSites.start({
      sites: NAMES.map((name) => (caches === undefined ? { name } : { name, caches })),
      policies: [`{ match: ${CACHE}, mode: async }`],
    });
    await started.run();
    return started;
  });
}

class Pair {
  readonly #sites: ReplicatedSites;
  readonly nyc: JavaCache;
  readonly lon: JavaCache;

  private constructor(sites: ReplicatedSites, nyc: JavaCache, lon: JavaCache) {
    this.#sites = sites;
    this.nyc = nyc;
    this.lon = lon;
  }

  static async of(sites: ReplicatedSites): Promise<Pair> {
    await sites.live();
    const at = (name: Name): Promise<JavaCache> => sites.site(name).cache(CACHE);
    return new Pair(sites, await at("nyc"), await at("lon"));
  }

  stats(name: Name): CacheStats {
    const { agent } = this.#sites.site(name).handled(CACHE);
    if (agent === undefined) throw new Error(`${name} does not handle ${CACHE}`);
    return agent.stats;
  }

  /** Where a key shows now, without using it. */
  async where(name: string): Promise<Name[]> {
    const holds = await Promise.all(
      NAMES.map(async (site) => (await this[site].entries()).has(key(name).toString("hex"))),
    );
    return NAMES.filter((_, i) => holds[i] === true);
  }

  /** Waits for a key to show at exactly these sites. */
  shows(name: string, at: readonly Name[], timeoutMs = 20_000): Promise<unknown> {
    const what = `${name} shows at ${at.join(", ") || "no site"}`;
    return until(what, async () => (await this.where(name)).join() === at.join(), timeoutMs);
  }

  level(): Promise<unknown> {
    return this.#sites.level(CACHE);
  }

  /** Has a site send a key to a peer; resolves with the entries that it would send. */
  async offer(site: Name, name: string): Promise<number> {
    const { agent } = this.#sites.site(site).handled(CACHE);
    return (await agent?.offer([key(name).toString("latin1")]))?.length ?? 0;
  }

  presence(site: Name, name: string): string | undefined {
    const { agent } = this.#sites.site(site).handled(CACHE);
    return agent?.rows.get(key(name).toString("latin1"))?.presence;
  }
}

/** Calls `act` now and then until `ms` have passed. */
async function meanwhile(ms: number, act: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + ms;
  await until(`${ms} ms have passed`, async () => {
    await act();
    return performance.now() >= end;
  });
}

function sentences(sites: () => ReplicatedSites): void {
  it("are gone at both sites after their max-idle or lifespan, and nothing is published (P53)", async () => {
    const pair = await Pair.of(sites());
    const begun = performance.now();
    await pair.nyc.put(key("idle"), value("1"), { lifespanMs: -1, maxIdleMs: IDLE_MS });
    await pair.lon.put(key("mortal"), value("1"), { lifespanMs: IDLE_MS, maxIdleMs: LONG_MS });
    await pair.shows("idle", NAMES);
    await pair.shows("mortal", NAMES);
    await pair.level();
    const published = () =>
      NAMES.map((site) => pair.stats(site).publishedMutations).reduce((a, b) => a + b);
    const [before, putBack] = [published(), NAMES.map((site) => pair.stats(site).idlePutBack)];
    await pair.shows("idle", []);
    await pair.shows("mortal", []);
    expect(performance.now() - begun).toBeGreaterThan(IDLE_MS - 1_000);
    for (const site of NAMES)
      await until(`${site} knows that both ended`, async () =>
        ["idle", "mortal"].every((name) => pair.presence(site, name) === "tombstone"),
      );
    expect(await pair.where("idle")).toEqual([]);
    expect(published()).toBe(before);
    // Neither site held it up for the other.
    expect(NAMES.map((site) => pair.stats(site).idlePutBack)).toEqual(putBack);
  });

  it("live on at one site while a client uses them at the other, and end at both when it stops (P54)", async () => {
    const pair = await Pair.of(sites());
    const before = pair.stats("nyc").idlePutBack;
    await pair.nyc.put(key("used"), value("1"), { lifespanMs: -1, maxIdleMs: IDLE_MS });
    await pair.shows("used", NAMES);
    await meanwhile(4 * IDLE_MS, () => pair.lon.get(key("used")));
    expect(pair.stats("nyc").idlePutBack).toBeGreaterThan(before);
    await until("it is put back at nyc", async () => {
      await pair.lon.get(key("used"));
      return (await pair.where("used")).includes("nyc");
    });
    expect(await pair.lon.get(key("used"))).toEqual(value("1"));
    // Its use stops here. Until a put-back's own idle time is over it may still show.
    const stopped = performance.now();
    for (const site of NAMES)
      await until(`it ended at ${site}`, async () => pair.presence(site, "used") === "tombstone");
    expect(performance.now() - stopped).toBeLessThan(2 * IDLE_MS + 6_000);
    const putBack = NAMES.map((site) => pair.stats(site).idlePutBack);
    const seenAt = new Set<Name>();
    await meanwhile(2 * IDLE_MS, async () => {
      for (const site of await pair.where("used")) seenAt.add(site);
    });
    expect([...seenAt]).toEqual([]);
    expect(NAMES.map((site) => pair.stats(site).idlePutBack)).toEqual(putBack);
  });

  it("end at both sites though Isthmus itself read them at one", async () => {
    const pair = await Pair.of(sites());
    const before = NAMES.map((site) => pair.stats(site).idlePutBack);
    await pair.nyc.put(key("offered"), value("1"), { lifespanMs: -1, maxIdleMs: IDLE_MS });
    await pair.level();
    const begun = performance.now();
    await until(
      "most of its idle time has passed",
      async () => performance.now() > begun + 0.7 * IDLE_MS,
    );
    expect(await pair.offer("lon", "offered")).toBe(1);
    let isHeldByLonAlone = false;
    let isEndedWhileHeld = false;
    await until("it ended at both sites", async () => {
      const presences = NAMES.map((site) => pair.presence(site, "offered"));
      const holders = await pair.where("offered");
      isHeldByLonAlone ||= holders.join() === "lon";
      // A client of lon may still use it: nyc must not say yet that it ended.
      isEndedWhileHeld ||= presences[0] === "tombstone" && holders.includes("lon");
      return presences.every((presence) => presence === "tombstone");
    });
    expect([isHeldByLonAlone, isEndedWhileHeld]).toEqual([true, false]);
    expect(await pair.where("offered")).toEqual([]);
    expect(NAMES.map((site) => pair.stats(site).idlePutBack)).toEqual(before);
  });

  it("are put back, not taken for removed, when they went idle while Isthmus was away and a client uses them", async () => {
    const pair = await Pair.of(sites());
    await pair.nyc.put(key("away"), value("1"), { lifespanMs: -1, maxIdleMs: IDLE_MS });
    await pair.level();
    await sites().site("nyc").stop();
    await meanwhile(2 * IDLE_MS, () => pair.lon.get(key("away")));
    sites().site("nyc").start(sites().configure());
    const again = await Pair.of(sites());
    await until("it is put back at nyc", async () => {
      await again.lon.get(key("away"));
      return (await again.where("away")).join() === NAMES.join();
    });
    expect(await again.lon.get(key("away"))).toEqual(value("1"));
    expect(again.stats("nyc").capturedRemoves).toBe(0);
    expect(again.stats("nyc").idlePutBack).toBeGreaterThan(0);
  });

  it("survive at both sites when they are written again after they went idle, with the same bytes too (P56)", async () => {
    const pair = await Pair.of(sites());
    const again = [
      ["same bytes", "1"],
      ["other bytes", "2"],
      ["same bytes, ended", "1"],
    ] as const;
    for (const [name] of again)
      await pair.nyc.put(key(name), value("1"), { lifespanMs: -1, maxIdleMs: IDLE_MS });
    for (const [name] of again) await pair.shows(name, NAMES);
    const [early, late] = [again.slice(0, 2), again.slice(2)];
    for (const [name, next] of early) {
      await until(`${name} went idle`, async () => !(await pair.where(name)).includes("nyc"));
      await pair.nyc.put(key(name), value(next), { lifespanMs: -1, maxIdleMs: LONG_MS });
    }
    for (const [name, next] of late) {
      for (const site of NAMES)
        await until(`${name} ended`, async () => pair.presence(site, name) === "tombstone");
      await pair.nyc.put(key(name), value(next), { lifespanMs: -1, maxIdleMs: LONG_MS });
    }
    for (const [name] of again) await pair.shows(name, NAMES);
    await pair.level();
    for (const [name, next] of again) {
      expect(await pair.lon.get(key(name))).toEqual(value(next));
      expect(await pair.nyc.get(key(name))).toEqual(value(next));
    }
  });

  it("give way to a put that comes from the other site while they go idle (P39)", async () => {
    const pair = await Pair.of(sites());
    const names = Array.from({ length: 40 }, (_, i) => `raced ${i}`);
    for (const name of names)
      await pair.nyc.put(key(name), value("old"), { lifespanMs: -1, maxIdleMs: IDLE_MS });
    await pair.level();
    const left = [...names];
    const begun = performance.now();
    // Spread over the time before, at, and after the end.
    await until("every key was put at lon", async () => {
      const due = (performance.now() - begun - IDLE_MS / 2) / 100;
      while (left.length > 0 && names.length - left.length < due) {
        const name = left.shift() ?? "";
        await pair.lon.put(key(name), value("new"), { lifespanMs: -1, maxIdleMs: LONG_MS });
      }
      return left.length === 0;
    });
    await pair.level();
    for (const name of names) {
      expect(await pair.nyc.get(key(name))).toEqual(value("new"));
      expect(await pair.lon.get(key(name))).toEqual(value("new"));
    }
  });
}

const embedded = twoSites(undefined);
const infinispan = twoSites({ [CACHE]: REAPED });

describe("entries with a max-idle in two embedded caches", () => sentences(embedded));
describe("entries with a max-idle in two Infinispans", () => sentences(infinispan));
