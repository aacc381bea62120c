// Goal: keys that the file keeps at their site stay there, whatever else is known of them; all others are replicated.
// Method: the real code of two sites on virtual time.
import { describe, expect, it } from "vitest";
import { Verify } from "../../../deploy/operator/verify-sites.ts";
import { CalmSites } from "../../support/calm-sites.ts";

const EVERYTHING = "mode: async";
const WITHOUT = `mode: async
    localKeys: ["task::"]`;

async function started(rule: string): Promise<CalmSites> {
  const world = new CalmSites(["nyc", "lon"], rule);
  for (const { name } of world.sites) world.site(name).start();
  await world.rest();
  return world;
}

async function restarted(world: CalmSites, rule: string, ...names: string[]): Promise<void> {
  for (const name of names) {
    await world.stop(name);
    world.configure(name, rule);
    world.site(name).start();
  }
}

describe("keys that stay at their site", () => {
  it("are neither captured nor found by a scan, and a remove of one ends nobody else's", async () => {
    const world = await started(WITHOUT);
    world.put("nyc", "task::clear", "nyc's lock");
    world.put("lon", "task::clear", "lon's lock");
    world.put("nyc", "event", "of nyc");
    await world.rest();
    expect(world.contents("nyc")).toEqual({ event: "of nyc", "task::clear": "nyc's lock" });
    expect(world.contents("lon")).toEqual({ event: "of nyc", "task::clear": "lon's lock" });
    world.remove("nyc", "task::clear");
    world.put("nyc", "task::other", "nyc's");
    await restarted(world, WITHOUT, "nyc", "lon");
    await world.rest();
    expect(world.contents("nyc")).toEqual({ event: "of nyc", "task::other": "nyc's" });
    expect(world.contents("lon")).toEqual({ event: "of nyc", "task::clear": "lon's lock" });
    expect([world.published.get("nyc"), world.published.get("lon") ?? 0]).toEqual([1, 0]);
  });

  it("become so at sites that replicated them: each keeps what it holds, and the sites stay equal otherwise", async () => {
    const world = await started(EVERYTHING);
    world.put("nyc", "task::a", "was everywhere");
    world.put("lon", "event", "1");
    await world.rest();
    expect(world.contents("lon")["task::a"]).toBe("was everywhere");
    await restarted(world, WITHOUT, "nyc");
    // Until lon has the same file, the cache waits there.
    world.put("nyc", "event", "2");
    await world.pass(5_000);
    expect(world.contents("lon")["event"]).toBe("1");
    await restarted(world, WITHOUT, "lon");
    await world.rest();
    world.remove("lon", "task::a");
    world.put("nyc", "task::a", "nyc's own");
    await world.rest();
    expect(world.contents("nyc")).toEqual({ event: "2", "task::a": "nyc's own" });
    expect(world.contents("lon")).toEqual({ event: "2" });
    expect(world.handled("nyc").peerGaps.size + world.handled("lon").peerGaps.size).toBe(0);
  });

  it("that were written elsewhere before are not brought to a site that keeps its own", async () => {
    const world = await started(EVERYTHING);
    await world.stop("lon");
    world.put("nyc", "task::a", "nyc's");
    world.put("nyc", "event", "1");
    await world.pass(1_000);
    await restarted(world, WITHOUT, "nyc");
    world.configure("lon", WITHOUT);
    world.site("lon").start();
    await world.rest();
    expect(world.contents("nyc")).toEqual({ event: "1", "task::a": "nyc's" });
    expect(world.contents("lon")).toEqual({ event: "1" });
  });

  it("are nothing that verify looks at, wherever they differ", async () => {
    const world = await started(EVERYTHING);
    world.put("nyc", "task::old", "was everywhere");
    world.put("nyc", "event", "1");
    await world.rest();
    await restarted(world, WITHOUT, "nyc", "lon");
    await world.rest();
    world.put("nyc", "task::old", "nyc's own");
    world.put("lon", "task::new", "lon's own");
    await world.rest();
    const verify = new Verify(world.config, world.operator("nyc"), () => undefined);
    const { caches } = await world.settle(verify.run("sessions"));
    expect(caches).toEqual([
      { cache: "sessions", entries: { nyc: 1, lon: 1 }, differing: [], busy: 0, isCut: false },
    ]);
  });

  it("are not asked for at the peers where the cache evicts, or came back empty", async () => {
    const evicts = (rule: string) => `${rule}\n    evicts: true`;
    const world = await started(evicts(EVERYTHING));
    world.put("nyc", "task::a", "was everywhere");
    await world.rest();
    await restarted(world, evicts(WITHOUT), "nyc", "lon");
    await world.rest();
    await world.pass(60_000);
    const presenceAt = (name: string) => world.handled(name).agent?.rows.get("task::a")?.presence;
    expect([presenceAt("nyc"), presenceAt("lon")]).not.toContain("absent");
    expect([world.contents("nyc"), world.contents("lon")]).toEqual([
      { "task::a": "was everywhere" },
      { "task::a": "was everywhere" },
    ]);
  });
});
