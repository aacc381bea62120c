// Goal: a cache that loses its memory is full again by itself, and never empties the other site.
// Method: two sites, lon with an Infinispan that is killed and comes back empty, nyc with an embedded cache whose process is
// stopped.
import { describe, expect, it } from "vitest";
import type { JavaCache } from "../support/java-client.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import type { ReplicatedSite } from "../support/replicated-site.ts";
import { shared } from "../support/server-provider.ts";

const CACHE = "sessions";
const KEYS = 20_000;

const sites = shared(async () => {
  const started = await ReplicatedSites.start({
    sites: [{ name: "nyc" }, { name: "lon", caches: { [CACHE]: {} } }],
    policies: [`{ match: ${CACHE}, mode: async }`],
  });
  await started.run();
  return started;
});

const key = (i: number): Buffer => Buffer.from(`key-${i}`);
const value = (i: number): Buffer => Buffer.from(`value of ${i} `.repeat(10));
const sentBy = (site: string): number =>
  sites().site(site).handled(CACHE).agent?.stats.publishedMutations ?? -1;

async function fill(cache: JavaCache, count: number): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    const entries = Array.from(
      { length: 500 },
      (_, i) => [key(from + i), value(from + i)] as const,
    );
    await cache.putAll(entries, from % 1_000 === 0 ? {} : { lifespanMs: 3_600_000 });
  }
}

/** What a site's Isthmus said of gaps since `from`. */
const gapsSaid = (site: ReplicatedSite, from: number): string[] =>
  site.logger.lines
    .slice(from)
    .filter(({ message }) => message.includes("gap"))
    .map(({ fields }) => String((fields as { reason?: string }).reason));

describe("a cache that comes back empty", () => {
  it("is full again by itself after its whole Infinispan was killed, and the other site lost nothing (I1, I2, I7)", async () => {
    const nyc = await sites().site("nyc").cache(CACHE);
    await fill(nyc, KEYS);
    expect((await sites().level(CACHE, { timeoutMs: 120_000 })).size).toBe(KEYS);
    const lon = sites().site("lon");
    const said = lon.logger.lines.length;
    const before = ["nyc", "lon"].map(sentBy);
    await Promise.all(lon.nodes.map((node) => node.kill()));
    // Meanwhile the other site goes on.
    await nyc.put(key(1), Buffer.from("changed meanwhile"));
    await nyc.remove(key(2));
    for (const node of lon.nodes) await node.run();
    expect(await (await lon.cache(CACHE)).size()).toBeLessThan(KEYS);
    const found = await sites().level(CACHE, { timeoutMs: 120_000 });
    expect(found.size).toBe(KEYS - 1);
    expect(found.get(key(1).toString("hex"))?.value.toString()).toBe("changed meanwhile");
    expect(["nyc", "lon"].map(sentBy)).toEqual([(before[0] ?? 0) + 2, before[1]]);
    expect(gapsSaid(lon, said).length).toBeGreaterThan(0);
  }, 240_000);

  it("is full again when it is an embedded one whose process was stopped (I1, I2)", async () => {
    const nyc = sites().site("nyc");
    const lon = await sites().site("lon").cache(CACHE);
    const before = sentBy("lon");
    await nyc.stop();
    await lon.put(key(3), Buffer.from("while nyc was away"));
    nyc.start(sites().configure());
    await sites().live([nyc]);
    const found = await sites().level(CACHE, { timeoutMs: 60_000 });
    expect(found.size).toBe(KEYS - 1);
    expect(found.get(key(3).toString("hex"))?.value.toString()).toBe("while nyc was away");
    expect([sentBy("nyc"), sentBy("lon")]).toEqual([0, before + 1]);
  });
});
