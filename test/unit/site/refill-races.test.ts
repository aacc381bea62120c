// Goal: what a client removes while its emptied cache is filled again stays removed (I3), and what it puts stays (I1).
// Method: the real code of two sites on virtual time; a client writes at random moments of the refill.
import { describe, expect, it } from "vitest";
import { CalmSites } from "../../support/calm-sites.ts";
import { SimRandom } from "../../sim/world/sim-random.ts";

const KEYS = 40;
const SEEDS = 25;
/** Each key is written to within this time after the site listens again, ms: the refill takes less. */
const REFILL_MS = 60;

/** Two sites with the same keys, of which `lon` has just lost its cache and listens to it again. */
async function emptied(seed: number): Promise<CalmSites> {
  const world = new CalmSites(["nyc", "lon"], "mode: async", seed);
  for (const { name } of world.sites) world.site(name).start();
  await world.rest();
  for (let i = 0; i < KEYS; i++) world.put("nyc", `k${i}`, "before");
  await world.rest();
  const { caches } = world.site("lon").ground;
  caches.stop();
  await world.pass(50);
  caches.startEmpty();
  await world.until("lon listens", () =>
    [...caches.caches.values()].every((cache) => cache.hasListener),
  );
  return world;
}

/** Calls `write` for each key, in random order at random moments of the refill. */
async function during(world: CalmSites, seed: number, write: (key: string) => void): Promise<void> {
  const random = new SimRandom(seed);
  const moments = Array.from({ length: KEYS }, (_, i) => ({
    key: `k${i}`,
    at: random.between(0, REFILL_MS),
  })).sort((a, b) => a.at - b.at);
  let now = 0;
  for (const { key, at } of moments) {
    await world.pass(at - now);
    now = at;
    write(key);
  }
  await world.rest();
}

describe("while an emptied cache is filled again", () => {
  it("a key that a client removes stays removed, whatever of the refill its remove meets", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = await emptied(seed);
      await during(world, seed, (key) => world.remove("lon", key));
      for (const { name } of world.sites)
        expect([seed, name, world.contents(name)]).toEqual([seed, name, {}]);
    }
  });

  it("a key that a client puts has its value at both sites", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = await emptied(seed);
      await during(world, seed, (key) => world.put("lon", key, "after"));
      const after = Object.fromEntries(Array.from({ length: KEYS }, (_, i) => [`k${i}`, "after"]));
      for (const { name } of world.sites)
        expect([seed, world.contents(name)]).toEqual([seed, after]);
    }
  });

  it("a key that a client puts and removes stays removed", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = await emptied(seed);
      await during(world, seed, (key) => {
        world.put("lon", key, "after");
        world.remove("lon", key);
      });
      for (const { name } of world.sites)
        expect([seed, name, world.contents(name)]).toEqual([seed, name, {}]);
    }
  });
});
