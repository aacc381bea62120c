// Goal: a write that came through the front door is answered as done only if every target has it (I5), or as `onTimeout` says.
// Method: the real code of two sites on virtual time; what passes on a client's connection is not there.
import { describe, expect, it } from "vitest";
import { SiteHolds } from "../../../deploy/site/site-holds.ts";
import { CalmSites } from "../../support/calm-sites.ts";

const FAIL = `mode: sync
    onTimeout: fail`;

async function started(limits?: string): Promise<CalmSites> {
  const world = new CalmSites(["nyc", "lon"], FAIL, 1, limits);
  for (const { name } of world.sites) world.site(name).start();
  await world.rest();
  return world;
}

function holdOf(world: CalmSites) {
  const { hold } = world.handled("nyc");
  if (hold === undefined) throw new Error("nyc holds nothing");
  return hold;
}

/** A client's request that does `write` at nyc, and how it is answered. */
async function answered(
  world: CalmSites,
  write: () => void,
  effect = {},
): Promise<string | undefined> {
  const held = holdOf(world).begin({ keys: undefined, valueBytes: 0, ...effect });
  write();
  return world.settle(new Promise((resolve) => held.done(resolve)));
}

describe("a held write", () => {
  it("may name as many keys as a request can, also as the first one of a run", async () => {
    const world = await started();
    const keys = Array.from({ length: 150_000 }, (_, i) => Buffer.from(`k${i}`));
    const write = () => world.put("nyc", "k7", "v");
    expect(await answered(world, write, { keys, valueBytes: 1 })).toBeUndefined();
    expect(world.contents("lon")).toEqual({ k7: "v" });
  });

  it("is told as failed if what it made of a key is too large to be sent, which its request does not show", async () => {
    const world = await started("{ maxValueBytes: 2KiB }");
    const large = () => world.put("nyc", "list", "x".repeat(3_000));
    expect(await answered(world, large)).toContain("above limits.maxValueBytes");
    // The cache's form of it may be larger than the client's.
    const named = { keys: [Buffer.from("list")], valueBytes: 2_000 };
    expect(await answered(world, large, named)).toContain("above limits.maxValueBytes");
    const small = () => world.put("nyc", "list", "small");
    expect(await answered(world, small)).toBeUndefined();
    expect(world.contents("lon")).toEqual({ list: "small" });
  });

  it("of a transaction waits when that is committed, for the caches that it was prepared in", async () => {
    const world = await started();
    const { site } = world.site("nyc");
    if (site === undefined) throw new Error("nyc does not run");
    const holds = new SiteHolds(site);
    const unnamed = { keys: undefined, valueBytes: 0 };
    holds.begin("elsewhere", { ...unnamed, prepares: "other" })?.drop();
    holds.begin("sessions", { ...unnamed, prepares: "tx" })?.drop();
    // Java's clients name no cache in a commit.
    expect(holds.begin("", { ...unnamed, commits: "other" })).toBeUndefined();
    for (const transaction of ["tx", "prepared before this process began"]) {
      const held = holds.begin("", { ...unnamed, commits: transaction });
      world.put("nyc", transaction, "v");
      const end = await world.settle(
        new Promise((resolve) => (held === undefined ? resolve("not held") : held.done(resolve))),
      );
      expect([transaction, end]).toEqual([transaction, undefined]);
      expect(world.contents("lon")[transaction]).toBe("v");
    }
    expect(holdOf(world).waiting).toBe(0);
  });
});
