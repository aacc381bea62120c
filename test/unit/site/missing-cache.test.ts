import { describe, expect, it } from "vitest";
import { HOLD_BOUNDS_MS } from "../../../deploy/site/cache-hold.ts";
import { SiteHolds } from "../../../deploy/site/site-holds.ts";
import type { Site } from "../../../deploy/site/site.ts";
import type { HoldEnd } from "../../../site-agent/front-door/write-holds.ts";
import { CalmSites } from "../../support/calm-sites.ts";

/** Two sites, of which nyc has run for a while without its cache. */
async function withoutCache(ranMs = 60_000): Promise<{ world: CalmSites; nyc: Site }> {
  const world = new CalmSites(["nyc", "lon"], "mode: sync");
  world.missing.add("nyc");
  for (const site of world.sites) site.start();
  await world.pass(ranMs);
  const { site: nyc } = world.site("nyc");
  if (nyc === undefined) throw new Error("nyc does not run");
  return { world, nyc };
}

describe("a cache that is missing", () => {
  it("keeps no front door shut: whoever is to make it may come through it", async () => {
    const { world, nyc } = await withoutCache();
    expect(world.handled("nyc").agent?.state).toBe("blocked");
    expect(world.handled("nyc").isMissing).toBe(true);
    expect(nyc.isDeaf).toBe(false);
    expect(world.handled("lon").isMissing).toBe(false);
  });

  // At moments that lie apart, so that it is not the next try that finds it.
  it.each([60_000, 60_700, 61_400, 62_100, 62_800])(
    "is looked for at once when somebody writes to it, and the write is held until the other site has it, after %i ms",
    async (ranMs) => {
      const { world, nyc } = await withoutCache(ranMs);
      world.missing.clear();
      await world.pass(1);
      const ends: HoldEnd[] = [];
      const write = new SiteHolds(nyc).begin("sessions", {
        keys: [Buffer.from("first")],
        valueBytes: 5,
      });
      world.put("nyc", "first", "value");
      write?.done((end) => ends.push(end));
      await world.pass(400);
      expect(world.handled("nyc").isMissing).toBe(false);
      expect(ends).toEqual([undefined]);
      const { stats } = world.handled("nyc").hold ?? {};
      expect(stats).toMatchObject({ confirmed: 1, degraded: 0 });
      const within = HOLD_BOUNDS_MS.findIndex((bound) => (stats?.holdMsSum ?? 0) <= bound);
      expect(stats?.holdMsCounts.map((count, i) => [i, count]).filter(([, n]) => n !== 0)).toEqual([
        [within, 1],
      ]);
      expect(world.contents("lon")).toEqual({ first: "value" });
    },
  );

  it("is found within seconds when nobody writes to it", async () => {
    const { world } = await withoutCache();
    world.missing.clear();
    await world.pass(6_000);
    expect(world.handled("nyc").agent?.state).toBe("live");
  });
});
