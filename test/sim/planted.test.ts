import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { World } from "./world/sim-world.ts";
import { PLANTED } from "./planted/planted-faults.ts";
import { SourceCopy, worldOf } from "./planted/source-copy.ts";

// Goal: the checkers have teeth. Method: each of some bugs that one could well make is put into a copy of the source, and the
// simulator must find it within some seeds; the source without a bug must pass the seed that found it.

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SEEDS_MAX = 200;

describe("a planted fault is found", () => {
  it.each(PLANTED.map((fault) => [fault.what, fault] as const))("%s", async (_what, fault) => {
    const copy = new SourceCopy(ROOT);
    try {
      copy.plant(fault);
      let seed = 0;
      let found: Error | undefined;
      while (found === undefined && seed < SEEDS_MAX) {
        seed += 1;
        found = (await copy.run(worldOf(fault, seed))).failure;
      }
      expect(found, `no seed of ${SEEDS_MAX} found it`).toBeDefined();
      // A promise that was broken, not a crash beside it.
      expect(found?.constructor.name).toBe("Violation");
      const sound = await new World(worldOf(fault, seed)).run();
      expect(sound.failure, `seed ${seed} without the fault`).toBeUndefined();
      console.log(`${fault.what}: seed ${seed}: ${found?.message.slice(0, 160)}`);
    } finally {
      copy.remove();
    }
  });
});
