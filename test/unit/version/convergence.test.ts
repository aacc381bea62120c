import { describe, expect, it } from "vitest";
import { type ModelOptions, POLICIES, SitesModel } from "./sites-model.ts";

// Goal: sites that have received everything show the same, whatever the order, the repeats, the resyncs and the dropped
// tombstones in between. Method: seeded random schedules of the real functions, judged by plain sets of who had seen what.

const base = { steps: 90, skewMs: 20, floor: true } as const;
const replay = (options: ModelOptions) => `replay: new SitesModel(${JSON.stringify(options)})`;

describe.each(POLICIES.map((policy) => [JSON.stringify(policy), policy] as const))(
  "under %s",
  (_, policy) => {
    it.each([2, 3, 4, 5])("%i sites keep exactly the versions that none supersedes", (sites) => {
      let conflicts = 0;
      for (let seed = 0; seed < 150; seed++) {
        const options = { ...base, policy, sites, seed, resync: seed % 2 === 1, drops: false };
        const model = new SitesModel(options);
        for (const { key, sites: shows, oracle, siblings } of model.run()) {
          const unsuperseded = model.oracleSiblings(key);
          expect(siblings, replay(options)).toEqual(siblings.map(() => unsuperseded));
          expect(shows, replay(options)).toEqual(shows.map(() => oracle));
          if (unsuperseded.includes(" ")) conflicts += 1;
        }
      }
      expect(conflicts).toBeGreaterThan(10);
    });

    it.each([2, 3, 4, 5])("%i sites show the same although tombstones are dropped", (sites) => {
      let dropped = 0;
      for (let seed = 0; seed < 300; seed++) {
        const options = { ...base, policy, sites, seed, resync: seed % 2 === 1, drops: true };
        const model = new SitesModel(options);
        for (const { sites: shows, oracle } of model.run()) {
          expect(shows, replay(options)).toEqual(shows.map(() => oracle));
        }
        dropped += model.dropped;
      }
      expect(dropped).toBeGreaterThan(20);
    });
  },
);

it("without the floor, dropped tombstones make sites diverge: the schedules have teeth", () => {
  const diverged = { resync: 0, plain: 0 };
  for (let seed = 0; seed < 600; seed++) {
    for (const resync of [true, false]) {
      const options = { ...base, policy: "last-writer-wins", sites: 3, seed, resync } as const;
      const run = new SitesModel({ ...options, drops: true, floor: false }).run();
      if (run.some(({ sites }) => new Set(sites).size > 1)) diverged[resync ? "resync" : "plain"]++;
    }
  }
  expect(diverged.resync).toBeGreaterThan(0);
  expect(diverged.plain).toBeGreaterThan(0);
});
