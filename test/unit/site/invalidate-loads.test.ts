// Goal: under `invalidate` a change reaches the peers' copies though it came with the load before it in one read.
// Method: the real code of two sites on virtual time, a client that works faster than anybody can read.
import { describe, expect, it } from "vitest";
import { CalmSites } from "../../support/calm-sites.ts";

async function loaded(): Promise<CalmSites> {
  const world = new CalmSites(["nyc", "lon"], "mode: invalidate", 11);
  for (const { name } of world.sites) world.site(name).start();
  await world.rest();
  world.put("nyc", "k", "1");
  await world.rest();
  return world;
}

const published = (world: CalmSites, site: string): number => world.published.get(site) ?? 0;

describe("under invalidate, at a site without a copy", () => {
  it("a put is a load: nothing is published, and the peer keeps its copy", async () => {
    const world = await loaded();
    world.put("lon", "k", "1");
    await world.rest();
    expect([published(world, "lon"), world.contents("nyc")]).toEqual([0, { k: "1" }]);
  });

  it("a change right behind the load takes the peer's copy", async () => {
    const world = await loaded();
    world.put("lon", "k", "1");
    world.put("lon", "k", "2");
    await world.rest();
    expect([published(world, "lon"), world.contents("nyc")]).toEqual([1, {}]);
    expect(world.contents("lon")).toEqual({ k: "2" });
  });

  it("a remove right behind the load takes the peer's copy, also when another load follows", async () => {
    const world = await loaded();
    world.put("lon", "k", "1");
    world.remove("lon", "k");
    world.put("lon", "k", "2");
    await world.rest();
    expect([published(world, "lon"), world.contents("nyc")]).toEqual([1, {}]);
  });

  it("what a peer's change took away and a client loads at once is a load", async () => {
    const world = await loaded();
    world.put("lon", "k", "1");
    await world.rest();
    world.put("nyc", "k", "2");
    await world.until("lon's copy is gone", () => world.contents("lon")["k"] === undefined);
    world.put("lon", "k", "2");
    await world.rest();
    expect([published(world, "lon"), world.contents("nyc")]).toEqual([0, { k: "2" }]);
  });
});
