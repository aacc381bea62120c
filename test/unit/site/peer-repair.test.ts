import { describe, expect, it } from "vitest";
import { CalmSites } from "../../support/calm-sites.ts";

/** Two or three sites that run and hold the same few keys. */
async function running(names: readonly string[] = ["nyc", "lon"], seed = 1): Promise<CalmSites> {
  const world = new CalmSites(names, "mode: async", seed);
  for (const site of world.sites) site.start();
  await world.rest();
  for (let i = 0; i < 10; i++) world.put(names[i % names.length] ?? "", `k${i}`, `v${i}`);
  await world.rest();
  return world;
}

function expectLevel(world: CalmSites, names: readonly string[] = ["nyc", "lon"]): void {
  const [first = "", ...others] = names;
  const contents = world.contents(first);
  for (const other of others) expect(world.contents(other)).toEqual(contents);
}

/** nyc's log loses what lon has not read: a put, a change, and a delete. */
async function missed(world: CalmSites): Promise<void> {
  world.links.cut("nyc", "lon");
  world.links.cut("lon", "nyc");
  world.put("nyc", "new", "n");
  world.put("nyc", "k0", "changed");
  world.remove("nyc", "k1");
  await world.pass(3_000);
}

const heal = (world: CalmSites): void => world.links.healAll();

/** Heals, and resolves once the gap that this shows at lon was repaired. */
async function repaired(world: CalmSites): Promise<void> {
  heal(world);
  await world.until("the gap", () => world.handled("lon").peerGaps.size > 0);
  await world.rest();
  expectLevel(world);
}

describe("a gap between two sites is closed by a resync, without a person", () => {
  it("after the origin's log was made anew: what it lost arrives, deletes included, and nothing is published for it (I4, I7)", async () => {
    const world = await running();
    await missed(world);
    world.site("nyc").ground.log.delete();
    const before = world.published.get("lon");
    await repaired(world);
    expect(world.contents("lon")).toMatchObject({ new: "n", k0: "changed" });
    expect(world.contents("lon")).not.toHaveProperty("k1");
    expect(world.published.get("lon")).toBe(before);
    expect(world.handled("lon").repair?.received).toBeGreaterThanOrEqual(3);
  });

  it("after the log trimmed what was not mirrored yet, though the cache has no newer record", async () => {
    const world = await running();
    await missed(world);
    const { stream } = world.site("nyc").ground.log;
    stream?.trim(stream.lastSeq);
    await repaired(world);
    await world.pass(30_000);
    expect(world.handled("lon").repair?.repaired).toBe(1);
    expect(world.handled("nyc").unconfirmed.get("lon")?.atRisk().mutations).toBe(0);
  });

  it("after a mirror that was away went to the end of a log that was trimmed, with holes that nothing tells of", async () => {
    const world = await running();
    await missed(world);
    const { stream } = world.site("nyc").ground.log;
    const mirror = world.site("lon").ground.mirrors.get("nyc")?.stream;
    if (stream === undefined || mirror === undefined) throw new Error("no stream");
    stream.trim(stream.lastSeq);
    mirror.lastSeq = stream.lastSeq;
    await repaired(world);
    expect(world.contents("lon")).toMatchObject({ new: "n" });
    await world.pass(30_000);
    expect(world.handled("lon").repair?.repaired).toBe(1);
  });

  it("tells no target position of what it brought, and lets tombstones go again once it ended", async () => {
    const world = await running();
    await missed(world);
    const { stream } = world.site("nyc").ground.log;
    stream?.trim(stream.lastSeq);
    heal(world);
    await world.until("the gap", () => world.handled("lon").peerGaps.size > 0);
    const seq = world.handled("lon").receivers[0]?.applied().seq;
    await world.rest();
    expect(world.handled("lon").receivers[0]?.applied().seq).toBe(seq);
    expect(world.handled("lon").receivers[0]?.appliedDot).toBe(world.handled("nyc").agent?.lastDot);
    await world.until("the tombstones go", () => {
      const dropped = world.sites.map((s) => s.site?.caches.get("sessions")?.tombstones?.dropped);
      return dropped.every((n) => (n ?? 0) > 0);
    });
    expectLevel(world);
  });

  it("waits for a peer that is away, says so once, and is repaired when that is back", async () => {
    const world = await running();
    await missed(world);
    world.site("nyc").ground.log.delete();
    await world.pass(5_000);
    world.site("nyc").kill();
    heal(world);
    world.handled("lon").openPeerGap("nyc", "a test says so");
    await world.pass(120_000);
    expect(world.handled("lon").peerGaps.size).toBe(1);
    const told = world.lines.filter((line) => line.includes("is not repaired yet"));
    expect(told).toHaveLength(1);
    world.site("nyc").start();
    await world.rest();
    expectLevel(world);
  });

  it("goes on after a kill at any moment of it (I6)", async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const world = await running(["nyc", "lon"], seed);
      await missed(world);
      world.put("lon", "k2", "at the same time");
      world.site("nyc").ground.log.delete();
      heal(world);
      await world.until("the gap", () => world.handled("lon").peerGaps.size > 0);
      const published = [world.published.get("nyc"), world.published.get("lon")];
      await world.pass(seed * 7);
      world.site("lon").kill();
      world.site("lon").start();
      await world.rest();
      expectLevel(world);
      // Nothing that a resync brought was taken for a change of this site.
      expect(world.published.get("nyc")).toBe(published[0]);
      expect(world.contents("lon")).toMatchObject({ k2: "at the same time", k0: "changed" });
    }
  });

  it("when a cache that was off is switched on again", async () => {
    const world = await running();
    await world.stop("lon");
    world.configure("lon", "mode: off");
    world.site("lon").start();
    await world.pass(5_000);
    world.put("nyc", "while off", "w");
    world.remove("nyc", "k3");
    await world.pass(5_000);
    await world.stop("lon");
    world.configure("lon", "mode: async");
    world.site("lon").start();
    await world.until("it is handled", () => world.site("lon").site?.caches.size === 1);
    expect(world.handled("lon").peerGaps.size).toBe(1);
    await world.rest();
    expectLevel(world);
    expect(world.contents("lon")).toMatchObject({ "while off": "w" });
    expect(world.contents("lon")).not.toHaveProperty("k3");
  });
});

describe("a cache of another name at one site", () => {
  it("is repaired and re-sent by its name in the file", async () => {
    const world = new CalmSites(["nyc", "lon"], "mode: async\n    rename: { lon: other }");
    for (const site of world.sites) site.start();
    world.put("nyc", "k0", "v0");
    world.put("lon", "k1", "v1");
    await world.rest();
    await missed(world);
    world.site("nyc").ground.log.delete();
    await repaired(world);
    expect(world.contents("lon")).toEqual({ k0: "changed", new: "n" });
    expect(world.site("lon").ground.caches.caches.has("other")).toBe(true);
  });
});

describe("a new site", () => {
  it("is seeded by a resync while traffic runs, when the logs do not reach back to their beginning", async () => {
    const world = new CalmSites(["nyc", "lon"]);
    world.site("nyc").start();
    for (let i = 0; i < 20; i++) world.put("nyc", `k${i}`, `v${i}`);
    await world.rest();
    const { stream } = world.site("nyc").ground.log;
    stream?.trim(stream.lastSeq);
    world.site("lon").start();
    for (let i = 0; i < 20; i++) {
      await world.pass(50);
      world.put(i % 2 === 0 ? "nyc" : "lon", `k${i}`, `live ${i}`);
    }
    await world.rest();
    expectLevel(world);
    expect(Object.keys(world.contents("lon"))).toHaveLength(20);
  });
});

describe("a ledger that was lost", () => {
  it("is rebuilt from the peers where the logs were trimmed: no value becomes a change of this site (I6)", async () => {
    const world = await running();
    await world.stop("lon");
    world.remove("nyc", "k2");
    await world.pass(2_000);
    for (const { ground } of world.sites) ground.log.stream?.trim(ground.log.stream.lastSeq - 1);
    world.loseLedger("lon");
    const before = world.published.get("lon");
    world.site("lon").start();
    await world.rest();
    expectLevel(world);
    expect(world.contents("lon")).not.toHaveProperty("k2");
    expect(world.published.get("lon")).toBe(before);
  });

  it("takes no value that was superseded meanwhile for a change of this site, however the key was written since (I3, I6)", async () => {
    const world = await running();
    await world.stop("lon");
    world.put("nyc", "k0", "changed");
    await world.pass(1_000);
    world.put("nyc", "k0", "changed again");
    world.remove("nyc", "k2");
    // What a client did at lon itself meanwhile is one all the same.
    world.put("lon", "k4", "written while nobody looked");
    await world.pass(2_000);
    world.loseLedger("lon");
    const before = world.published.get("lon") ?? 0;
    world.site("lon").start();
    await world.rest();
    expectLevel(world);
    expect(world.contents("nyc")).toMatchObject({
      k0: "changed again",
      k4: "written while nobody looked",
    });
    expect(world.contents("nyc")).not.toHaveProperty("k2");
    expect(world.published.get("lon")).toBe(before + 1);
  });

  it("captures nothing until every site has told what it knows, or the operator goes on without it", async () => {
    const world = await running();
    await world.stop("nyc");
    await world.stop("lon");
    world.loseLedger("lon");
    const before = world.published.get("lon");
    world.site("lon").start();
    world.put("lon", "while waiting", "w");
    await world.pass(60_000);
    expect(world.published.get("lon")).toBe(before);
    expect(world.lines.filter((line) => line.includes("nothing is captured until"))).toHaveLength(
      1,
    );
    // An end in between forgets nothing.
    world.site("lon").kill();
    world.site("lon").start();
    await world.pass(60_000);
    expect(world.published.get("lon")).toBe(before);
    world.site("nyc").start();
    await world.rest();
    expectLevel(world);
    expect(world.contents("nyc")).toMatchObject({ "while waiting": "w" });
    expect(world.published.get("lon")).toBe((before ?? 0) + 1);
  });

  it("at both sites at once is rebuilt, each from what the other has", async () => {
    const world = await running();
    for (const name of ["nyc", "lon"]) await world.stop(name);
    for (const name of ["nyc", "lon"]) world.loseLedger(name);
    const before = [...world.published.values()];
    for (const site of world.sites) site.start();
    await world.rest();
    expectLevel(world);
    expect([...world.published.values()]).toEqual(before);
  });
});

describe("three sites", () => {
  it("whose origin lost cache, ledger and log get back from each other what only one of them had", async () => {
    const names = ["nyc", "lon", "fra"];
    const world = await running(names);
    world.links.cut("nyc", "fra");
    world.put("nyc", "only lon knows", "x");
    world.remove("nyc", "k1");
    await world.pass(3_000);
    world.site("nyc").kill();
    world.loseLedger("nyc");
    world.site("nyc").ground.log.delete();
    for (const key of Object.keys(world.contents("nyc"))) {
      world.site("nyc").ground.caches.caches.get("sessions")?.remove(key, "isthmus");
    }
    heal(world);
    world.site("nyc").start();
    await world.rest();
    expectLevel(world, names);
    expect(world.contents("fra")).toMatchObject({ "only lon knows": "x" });
    expect(world.contents("fra")).not.toHaveProperty("k1");
  });
});
