// Goal: a site that was away for longer than tombstones are kept brings nothing back that was removed meanwhile (I3).
// Method: the real sites on virtual time, with an age of 90 s; links are cut or a process is stopped for longer.
import { describe, expect, it } from "vitest";
import { followJob } from "../../../deploy/operator/follow-job.ts";
import type { ResyncedCache } from "../../../deploy/operator/sync-verbs.ts";
import { problemsOf } from "../../../deploy/status/problems.ts";
import { readStatus } from "../../../deploy/status/read-status.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { CalmSites } from "../../support/calm-sites.ts";
import { SimRandom } from "../../sim/world/sim-random.ts";

const MAX_AGE_MS = 90_000;
/** Longer than that, and than all the rounds that the drop takes. */
const AWAY_MS = 330_000;

async function running(names: readonly string[] = ["nyc", "lon"], seed = 1): Promise<CalmSites> {
  const world = new CalmSites(names, "mode: async", seed);
  world.forceTombstonesAfter(MAX_AGE_MS);
  for (const site of world.sites) site.start();
  await world.rest();
  for (let i = 0; i < 10; i++) world.put(names[i % names.length] ?? "", `k${i}`, `v${i}`);
  await world.rest();
  return world;
}

const refusedAt = (world: CalmSites, name: string): readonly string[] =>
  world.handled(name).refusals.peers;
const rowAt = (world: CalmSites, name: string, key: string) =>
  world.handled(name).agent?.rows.get(key);

function resync(world: CalmSites, from: string, to: string, reseed = true) {
  const question = { from, cache: "sessions", dryRun: false, reseed };
  const asked = followJob<{ caches: readonly ResyncedCache[] }>(
    world.operator(to),
    { site: to, verb: "resync", question },
    () => undefined,
  );
  return world.settle(asked);
}

function problems(world: CalmSites, name: string): string[] {
  const { site } = world.site(name);
  const source = { name, version: "1", state: "active", startedAt: 0, isConnected: true } as const;
  if (site === undefined) throw new Error(`${name} does not run`);
  const status = readStatus({ ...source, site, keycloak: undefined, clock: site.ports.clock });
  return problemsOf(status).flatMap(({ what, code }) =>
    code === ErrorCode.ReseedNeeded ? [what] : [],
  );
}

/** lon is cut off; nyc removes k0 and k1, writes k2, and waits until lon is refused and the tombstones went. */
async function away(world: CalmSites, others: readonly string[] = ["nyc"]): Promise<void> {
  for (const other of others) {
    world.links.cut("lon", other);
    world.links.cut(other, "lon");
  }
  world.remove("nyc", "k0");
  world.remove("nyc", "k1");
  world.put("nyc", "k2", "changed at nyc");
  // lon goes on alone: an older write of a key that nyc removes later, and some of its own.
  world.put("lon", "k1", "written at lon before the remove");
  await world.pass(1_000);
  world.remove("nyc", "k1");
  world.put("lon", "only lon", "x");
  world.remove("lon", "k3");
  await world.pass(AWAY_MS);
}

describe("a site that was away for longer than tombstones.maxAge", () => {
  it("is refused once, with what to do, and the tombstones that it had not applied go", async () => {
    const world = await running();
    await away(world);
    expect(refusedAt(world, "nyc")).toEqual(["lon"]);
    expect(rowAt(world, "nyc", "k0")).toBeUndefined();
    expect(world.handled("nyc").tombstones?.forced).toBeGreaterThanOrEqual(2);
    expect(world.lines.filter((line) => line.includes("lon was away from sessions"))).toHaveLength(
      1,
    );
    expect(problems(world, "nyc")).toEqual([
      "lon was away for longer than limits.tombstones.maxAge: nothing of it is taken until it is re-seeded",
    ]);
  });

  it("brings nothing back by its log or by a resync, whoever begins it, also after restarts (I3)", async () => {
    const world = await running();
    await away(world);
    world.links.healAll();
    await world.pass(30_000);
    for (const name of ["nyc", "lon"]) {
      world.site(name).kill();
      world.site(name).start();
    }
    await world.pass(30_000);
    world.handled("nyc").openPeerGap("lon", "a test says so");
    world.handled("lon").openPeerGap("nyc", "a test says so");
    for (const [from, to] of [
      ["nyc", "lon"],
      ["lon", "nyc"],
    ] as const)
      await expect(resync(world, from, to, false)).rejects.toMatchObject({
        message: expect.stringContaining("was away from sessions for longer than") as string,
      });
    await world.pass(60_000);
    const contents = world.contents("nyc");
    for (const key of ["k0", "k1", "only lon"]) expect(contents).not.toHaveProperty(key);
    expect(contents).toMatchObject({ k2: "changed at nyc", k3: "v3" });
    expect(problems(world, "lon")).toContain(
      "nyc takes nothing of this site, which was away for longer than limits.tombstones.maxAge: re-seed it",
    );
  });

  it("is level and taken again once it was re-seeded; what it alone had is in its journal", async () => {
    const world = await running();
    await away(world);
    world.links.healAll();
    await world.pass(10_000);
    const published = world.published.get("nyc");
    const { caches } = await resync(world, "nyc", "lon");
    expect(caches[0]?.differing).toBeGreaterThan(3);
    await world.rest();
    expect(world.contents("lon")).toEqual(world.contents("nyc"));
    for (const key of ["k0", "k1", "only lon"])
      expect(world.contents("nyc")).not.toHaveProperty(key);
    expect(world.contents("nyc")).toMatchObject({ k2: "changed at nyc", k3: "v3" });
    expect([refusedAt(world, "nyc"), refusedAt(world, "lon")]).toEqual([[], []]);
    expect(world.published.get("nyc")).toBe(published);
    // What lon's log still holds of the time before was left out, not applied and taken back.
    expect(world.handled("nyc").receivers[0]?.stats.voided).toBeGreaterThanOrEqual(3);
    const lost = [...(world.site("lon").site?.journal.allConflicts() ?? [])].map(([id, row]) => [
      row.key,
      String(Buffer.from(world.site("lon").site?.journal.lostValue(id, "lon") ?? [])),
    ]);
    expect(lost).toEqual(
      expect.arrayContaining([
        ["only lon", "x"],
        ["k1", "written at lon before the remove"],
      ]),
    );
    // It takes part again, both ways.
    world.put("lon", "after", "a");
    world.remove("lon", "k4");
    await world.rest();
    expect(world.contents("nyc")).toEqual(world.contents("lon"));
    expect(world.contents("nyc")).toHaveProperty("after");
    expect(world.contents("nyc")).not.toHaveProperty("k4");
    // Tombstones go by agreement again.
    await world.pass(300_000);
    expect(rowAt(world, "nyc", "k4")).toBeUndefined();
    expect(world.contents("lon")).toEqual(world.contents("nyc"));
    expect(refusedAt(world, "nyc")).toEqual([]);
  });

  it("keeps what its clients write while it is re-seeded, and goes on after a kill (I6)", async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const world = await running();
      await away(world);
      world.links.healAll();
      await world.pass(10_000);
      const { bus, clock } = world.operator("lon");
      const question = { from: "nyc", cache: "sessions", dryRun: false, reseed: true };
      const job = { site: "lon", verb: "resync", question };
      const first = followJob({ bus, clock }, job, () => undefined);
      first.catch(() => undefined);
      const { ledger } = world.site("lon").site?.ports ?? {};
      await world.until("it began", () => ledger?.fact("reseeding/sessions") !== undefined);
      await world.pass(seed);
      world.put("lon", "k5", "while it was re-seeded");
      world.put("lon", "k0", "again, on purpose");
      await world.pass(seed * 5);
      world.site("lon").kill();
      world.site("lon").start();
      await world.pass(5_000);
      if (world.handled("lon").refusals.byPeers.length > 0) await resync(world, "nyc", "lon");
      await world.rest();
      expect(world.contents("lon")).toEqual(world.contents("nyc"));
      expect(world.contents("nyc")).toMatchObject({
        k5: "while it was re-seeded",
        k0: "again, on purpose",
      });
      expect(world.contents("nyc")).not.toHaveProperty("k1");
    }
  });

  it("is not refused while it is only down for less than that, nor when nothing was removed", async () => {
    const world = await running();
    await world.stop("lon");
    world.put("nyc", "k1", "changed");
    await world.pass(AWAY_MS);
    expect(refusedAt(world, "nyc")).toEqual([]);
    world.remove("nyc", "k2");
    await world.pass(MAX_AGE_MS - 30_000);
    expect(refusedAt(world, "nyc")).toEqual([]);
    world.site("lon").start();
    await world.rest();
    await world.pass(120_000);
    expect(refusedAt(world, "nyc")).toEqual([]);
    expect(world.contents("lon")).toEqual(world.contents("nyc"));
  });

  it("is not refused because a clock was set far ahead", async () => {
    const world = await running();
    world.remove("nyc", "k2");
    await world.rest();
    world.site("nyc").ground.wall.skewMs += 30 * MAX_AGE_MS;
    await world.pass(200_000);
    expect(refusedAt(world, "nyc")).toEqual([]);
  });

  it("need not be re-seeded by an operator who only thinks so", async () => {
    const world = await running();
    await expect(resync(world, "nyc", "lon")).rejects.toMatchObject({
      message: expect.stringContaining("no site refuses what lon holds") as string,
    });
  });
});

/** Three sites write at random; lon is away too long, and its fellows may die at any time. */
async function randomAbsence(seed: number): Promise<void> {
  const names = ["nyc", "lon", "par"];
  const world = await running(names, seed);
  const random = new SimRandom(seed * 7_919);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random.next() * of.length)] as T;
  const removed = new Set<string>();
  const write = (at: string): void => {
    const key = `k${Math.floor(random.next() * 12)}`;
    if (random.next() < 0.5) {
      world.put(at, key, `${at} ${random.next()}`);
      removed.delete(key);
    } else {
      world.remove(at, key);
      if (at !== "lon") removed.add(key);
    }
  };
  for (const other of ["nyc", "par"]) {
    world.links.cut("lon", other);
    world.links.cut(other, "lon");
  }
  for (let i = 0; i < 30; i++) {
    // A fellow's write may be concurrent with the other's remove, so that what shows is not known here: one of them removes.
    write(pick(["nyc", "lon", "nyc", "lon"]));
    await world.pass(random.next() * 400);
  }
  const gone = [...removed].filter((key) => !(key in world.contents("nyc")));
  await world.pass(AWAY_MS);
  expect(refusedAt(world, "nyc"), `seed ${seed}`).toEqual(["lon"]);
  world.links.healAll();
  const from = pick(["nyc", "par"]);
  await world.pass(random.next() * 20_000);
  if (random.next() < 0.5) {
    const victim = pick(names);
    world.site(victim).kill();
    world.site(victim).start();
    await world.pass(20_000);
  } else await world.pass(5_000);
  for (const key of gone) expect(world.contents(from), `seed ${seed}`).not.toHaveProperty(key);
  await resync(world, from, "lon");
  const fresh = world.contents("lon");
  if (random.next() < 0.5) {
    world.site("lon").kill();
    world.site("lon").start();
  }
  await world.rest();
  for (const name of names) {
    const contents = world.contents(name);
    expect(contents, `seed ${seed}, ${name}`).toEqual(world.contents("nyc"));
    for (const key of gone) expect(contents, `seed ${seed}`).not.toHaveProperty(key);
    expect(refusedAt(world, name), `seed ${seed}`).toEqual([]);
  }
  expect(Object.keys(fresh).length).toBeGreaterThan(0);
}

describe("three sites of which one was away too long", () => {
  it("drop tombstones only when both others refuse it, and all are level after it was re-seeded (I2, I3)", async () => {
    const names = ["nyc", "lon", "par"];
    const world = await running(names);
    await away(world, ["nyc", "par"]);
    world.put("par", "of par", "p");
    await world.pass(1_000);
    for (const name of ["nyc", "par"]) {
      expect(refusedAt(world, name)).toEqual(["lon"]);
      expect(rowAt(world, name, "k0")).toBeUndefined();
    }
    world.links.healAll();
    await world.pass(30_000);
    for (const name of ["nyc", "par"]) expect(world.contents(name)).not.toHaveProperty("k1");
    await resync(world, "par", "lon");
    await world.rest();
    for (const name of ["lon", "par"]) expect(world.contents(name)).toEqual(world.contents("nyc"));
    expect(names.map((name) => refusedAt(world, name))).toEqual([[], [], []]);
    expect(world.contents("nyc")).toMatchObject({ "of par": "p", k3: "v3" });
    for (const key of ["k0", "k1", "only lon"])
      expect(world.contents("nyc")).not.toHaveProperty(key);
  });

  it("end equal, with nothing back that was removed, whatever each of them wrote and whenever they died (I2, I3)", async () => {
    for (let seed = 1; seed <= 4; seed++) await randomAbsence(seed);
  });

  it("keep the tombstones while one of the others has not refused it", async () => {
    const names = ["nyc", "lon", "par"];
    const world = await running(names);
    Object.assign(world.handled("par").refusals, { refuse: () => undefined });
    await away(world, ["nyc", "par"]);
    expect(refusedAt(world, "nyc")).toEqual(["lon"]);
    expect(rowAt(world, "nyc", "k0")?.presence).toBe("tombstone");
  });
});
