// Goal: what a cache evicts is not deleted at the other sites, though the file does not say that it evicts.
// Method: the real code of two sites on virtual time; the simulated cache of one drops entries without an event.
import { describe, expect, it } from "vitest";
import { CalmSites } from "../../support/calm-sites.ts";

const KEYS = Array.from({ length: 30 }, (_, i) => `k${i}`);
const VALUES = Object.fromEntries(KEYS.map((key) => [key, "value"]));

async function filled(): Promise<CalmSites> {
  const world = new CalmSites(["nyc", "lon"]);
  for (const { name } of world.sites) world.site(name).start();
  await world.rest();
  for (const key of KEYS) world.put("nyc", key, "value");
  await world.rest();
  return world;
}

function evict(world: CalmSites, keys: readonly string[]): void {
  const [cache] = world.site("lon").ground.caches.caches.values();
  for (const key of keys) expect(cache?.evict(key)).toBe(true);
}

describe("a cache that evicts though the file does not say so", () => {
  it("is found out by a write that is gone before it is read: what the scan misses comes back, and stays elsewhere", async () => {
    const world = await filled();
    evict(world, KEYS.slice(0, 10));
    world.put("lon", "one too many", "gone at once");
    evict(world, ["one too many"]);
    await world.pass(2_000);
    await world.rest();
    for (const name of ["nyc", "lon"]) expect([name, world.contents(name)]).toEqual([name, VALUES]);
    expect(world.published.get("lon") ?? 0).toBe(0);
    // Nor does the next process take it for a delete.
    await world.stop("lon");
    evict(world, KEYS.slice(10, 15));
    world.site("lon").start();
    await world.rest();
    for (const name of ["nyc", "lon"]) expect([name, world.contents(name)]).toEqual([name, VALUES]);
  });

  it("is not what a client's delete looks like, which nobody listened to", async () => {
    const world = await filled();
    await world.stop("lon");
    for (const key of KEYS.slice(0, 10)) world.remove("lon", key);
    world.site("lon").start();
    await world.rest();
    for (const name of ["nyc", "lon"])
      expect(Object.keys(world.contents(name))).toHaveLength(KEYS.length - 10);
  });

  it("is not one whose reads failed for a while, and then came from a replica that lags", async () => {
    const world = await filled();
    const [cache] = world.site("lon").ground.caches.caches.values();
    if (cache === undefined) throw new Error("lon has no cache");
    const { faults } = cache;
    Object.assign(cache, { faults: { ...faults, serverError: 1 } });
    world.put("lon", "new", "value");
    await world.pass(1_000);
    Object.assign(cache, { faults });
    world.tampered.set("lon new", undefined);
    await world.pass(300);
    world.tampered.delete("lon new");
    await world.rest();
    expect(world.contents("nyc")["new"]).toBe("value");
    await world.stop("lon");
    world.remove("lon", "k0");
    world.site("lon").start();
    await world.rest();
    for (const name of ["nyc", "lon"])
      expect([name, world.contents(name)["k0"]]).toEqual([name, undefined]);
  });

  it("is not one whose replica lags for less than the second in which it is read again", async () => {
    const world = await filled();
    const { gaps } = world.handled("lon").agent?.stats ?? {};
    world.put("lon", "new", "value");
    world.tampered.set("lon new", undefined);
    await world.pass(900);
    world.tampered.delete("lon new");
    await world.rest();
    expect(world.contents("nyc")["new"]).toBe("value");
    expect(world.handled("lon").agent?.stats.gaps).toBe(gaps);
  });

  it("deletes nothing elsewhere either once what it was given back is gone again and again", async () => {
    const world = await filled();
    const more = Array.from({ length: 150 }, (_, i) => `more${i}`);
    for (const key of more) world.put("nyc", key, "value");
    await world.rest();
    const scanned = async (...gone: string[]) => {
      evict(world, gone);
      world.handled("lon").agent?.openGap("a test asks for a scan");
      await world.rest();
    };
    const isBack = () => Object.keys(world.contents("lon")).length === KEYS.length + more.length;
    for (const others of [more, more, []]) {
      await scanned("k0", ...others);
      await world.until("what was lost is back", isBack);
    }
    await scanned("k0");
    const { agent } = world.handled("lon");
    expect(agent?.problem).toMatchObject({ code: "IS2010" });
    // Gone before it is read, as what it replaced at nyc would be.
    world.put("lon", "k7", "gone at once");
    evict(world, ["k7"]);
    await world.pass(3_000);
    await world.rest();
    expect(world.contents("nyc")["k7"]).toBe("value");
    expect(world.published.get("lon") ?? 0).toBe(0);
  });

  it("is not one whose server tells seconds late of what clients removed", async () => {
    const world = await filled();
    const [cache] = world.site("lon").ground.caches.caches.values();
    if (cache === undefined) throw new Error("lon has no cache");
    world.put("lon", "code", "used at once");
    const { random } = cache.parts;
    const latency = random.latency.bind(random);
    random.latency = () => 3_000;
    world.remove("lon", "code");
    random.latency = latency;
    await world.pass(5_000);
    await world.rest();
    await world.stop("lon");
    world.remove("lon", "k0");
    world.site("lon").start();
    await world.rest();
    await world.pass(60_000);
    for (const name of ["nyc", "lon"])
      expect([name, world.contents(name)["k0"]]).toEqual([name, undefined]);
  });
});
