import { afterAll, describe, expect, it } from "vitest";
import { Counts } from "./world/counts.ts";
import { RARE } from "./world/rare-paths.ts";
import { drawProfile } from "./world/profile.ts";
import { World } from "./world/sim-world.ts";

// Goal: under any mix of faults the sites keep the promises of the README and end equal (I1 to I4, I6, I7, I9, I12).
// Method: the real code of each site on simulated time, caches, logs and links; the seed decides everything. A failing seed is
// replayed by `npm run sim -- --seed N --trace ""`, and made small by `--shrink`.

const SEEDS = 1_000;
const BLOCK = 50;
const counts = new Counts();

describe("simulated worlds", () => {
  const blocks = Array.from({ length: SEEDS / BLOCK }, (_, i) => 1 + i * BLOCK);
  it.each(blocks)("keep every promise from seed %i on", async (first) => {
    const failures: string[] = [];
    for (let seed = first; seed < first + BLOCK; seed++) {
      const outcome = await new World(drawProfile(seed)).run();
      counts.addAll(outcome.counts);
      if (outcome.failure !== undefined) {
        failures.push(`npm run sim -- --seed ${seed} --trace "": ${outcome.failure.message}`);
      }
    }
    expect(failures).toEqual([]);
  });

  it("are the same for the same seed, step by step", async () => {
    for (const seed of [3, 17, 28]) {
      const [one, two] = [drawProfile(seed), drawProfile(seed)];
      const first = await new World(one).run();
      const second = await new World(two).run();
      expect(second.trace.digest()).toBe(first.trace.digest());
      expect(second.steps).toBe(first.steps);
    }
  });

  it("differ from seed to seed", async () => {
    const first = await new World(drawProfile(1)).run();
    const second = await new World(drawProfile(2)).run();
    expect(second.trace.digest()).not.toBe(first.trace.digest());
  });
});

describe("the faults and the paths that matter", () => {
  afterAll(() => {
    for (const [name, n] of counts.all()) {
      if (!name.startsWith("log: ")) console.log(`${n} ${name}`);
    }
  });

  it.each(RARE)("happened: %s", (name) => {
    expect(counts.get(name)).toBeGreaterThan(0);
  });
});
