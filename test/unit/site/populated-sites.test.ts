// Goal: sites whose caches were filled before Isthmus came lose nothing that is newer to something older.
// Method: the real code of two or three sites on virtual time, started in every order beside caches with contents of their own.
import { describe, expect, it } from "vitest";
import { CalmSites } from "../../support/calm-sites.ts";

const HOUR = 3_600_000;

/** Every order in which two sites can start, and how long after the other. */
const STARTS: ReadonlyArray<readonly [first: string, second: string, ms: number]> = [
  ["nyc", "lon", 0],
  ["lon", "nyc", 0],
  ["nyc", "lon", 5_000],
  ["lon", "nyc", 5_000],
];

async function started(
  world: CalmSites,
  [first, second, ms]: (typeof STARTS)[number],
): Promise<void> {
  world.site(first).start();
  await world.pass(ms);
  world.site(second).start();
  await world.rest();
}

function expectBoth(world: CalmSites, contents: Record<string, string>): void {
  for (const { name } of world.sites) expect(world.contents(name)).toEqual(contents);
}

describe("two sites that were filled before Isthmus came", () => {
  it.each(STARTS)(
    "end with the newer of two values, whoever has it (%s, then %s after %i ms)",
    async (...order) => {
      const world = new CalmSites(["nyc", "lon"], undefined, 3);
      world.put("nyc", "a", "old at nyc", HOUR);
      world.put("lon", "b", "old at lon", HOUR);
      await world.pass(60_000);
      world.put("lon", "a", "new at lon", HOUR);
      world.put("nyc", "b", "new at nyc", HOUR);
      world.put("nyc", "only nyc", "n");
      world.put("lon", "only lon", "l");
      await world.pass(60_000);
      await started(world, order);
      expectBoth(world, {
        a: "new at lon",
        b: "new at nyc",
        "only nyc": "n",
        "only lon": "l",
      });
    },
  );

  it.each(STARTS)(
    "keep what a client wrote since, not what is as old as nobody knows (%s, then %s after %i ms)",
    async (...order) => {
      const world = new CalmSites(["nyc", "lon"], undefined, 5);
      const [first, second] = order;
      world.put(second, "k", "of unknown age");
      world.site(first).start();
      await world.pass(3_000);
      world.put(first, "k", "a client's");
      await world.pass(order[2] + 1);
      world.site(second).start();
      await world.rest();
      expectBoth(world, { k: "a client's" });
    },
  );

  it("tell each conflict once, with the value that gave way among its versions", async () => {
    const world = new CalmSites(["nyc", "lon"], undefined, 7);
    world.put("lon", "k", "of unknown age");
    world.site("nyc").start();
    world.put("nyc", "k", "a client's");
    await world.pass(3_000);
    world.site("lon").start();
    await world.rest();
    for (const name of ["nyc", "lon"]) {
      expect(world.handled(name).agent?.stats.conflicts, name).toBe(1);
    }
  });

  it.each(STARTS)(
    "take equal values for one, and tell no conflict (%s, then %s after %i ms)",
    async (...order) => {
      const world = new CalmSites(["nyc", "lon"], undefined, 9);
      for (const name of ["nyc", "lon"]) world.put(name, "k", "the same");
      await started(world, order);
      expectBoth(world, { k: "the same" });
      for (const name of ["nyc", "lon"]) {
        expect(world.handled(name).agent?.stats.conflicts, name).toBe(0);
      }
    },
  );
});

describe("a site that joins others with old contents of its own", () => {
  it.each([
    ["clients wrote there since", 1_000],
    ["they had when Isthmus came to them", 0],
  ])("takes what %s, also where their logs are trimmed", async (_what, ms) => {
    const world = new CalmSites(["nyc", "lon", "fra"], undefined, 11);
    for (let i = 0; i < 20; i++) world.put("fra", `k${i}`, `stale ${i}`);
    world.put("fra", "only fra", "f");
    world.site("nyc").start();
    world.site("lon").start();
    await world.pass(ms);
    for (let i = 0; i < 20; i++) world.put(i % 2 === 0 ? "nyc" : "lon", `k${i}`, `v${i}`);
    await world.pass(10_000);
    for (const { ground } of world.sites) ground.log.stream?.trim(ground.log.stream.lastSeq);
    world.site("fra").start();
    await world.rest();
    const contents = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, `v${i}`]));
    expectBoth(world, { ...contents, "only fra": "f" });
  });
});
