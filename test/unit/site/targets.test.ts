import { describe, expect, it } from "vitest";
import { askVerb } from "../../../gateway/control/operator-channel.ts";
import { pauseText } from "../../../deploy/cli/pause.ts";
import { targetText } from "../../../deploy/cli/offline.ts";
import type { PauseAnswer, TargetAnswer } from "../../../deploy/operator/target-verbs.ts";
import { readCache } from "../../../deploy/status/read-cache.ts";
import type { CacheStatus } from "../../../deploy/status/site-status.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { CalmSites } from "../../support/calm-sites.ts";

async function running(names = ["nyc", "lon"], limits?: string, rule?: string): Promise<CalmSites> {
  const world = new CalmSites(names, rule, 1, limits);
  for (const site of world.sites) site.start();
  await world.rest();
  for (let i = 0; i < 10; i++) world.put(names[i % names.length] ?? "", `k${i}`, `v${i}`);
  await world.rest();
  return world;
}

const ask = <T>(world: CalmSites, site: string, verb: string, question: object): Promise<T> =>
  world.settle(askVerb(world.operator("nyc").bus, site, verb, question, 15_000)) as Promise<T>;
const pause = (world: CalmSites) => ask<PauseAnswer>(world, "lon", "pause", { cache: "sessions" });
const resume = (world: CalmSites) =>
  ask<PauseAnswer>(world, "lon", "resume", { cache: "sessions" });
const take = (world: CalmSites, at = "nyc", target = "lon") =>
  ask<TargetAnswer>(world, at, "offline", { target, cache: null });
const release = (world: CalmSites, at = "nyc", target = "lon") =>
  ask<TargetAnswer>(world, at, "online", { target, cache: "sessions" });

function statusAt(world: CalmSites, name: string): CacheStatus {
  const { site } = world.site(name);
  if (site === undefined) throw new Error(`${name} does not run`);
  return readCache(site, world.handled(name));
}
const targetAt = (world: CalmSites, name: string, target: string) =>
  statusAt(world, name).targets.find((found) => found.target === target);
const told = (world: CalmSites, text: string): number =>
  world.lines.filter((line) => line.includes(text)).length;

describe("a target that an operator pauses", () => {
  it("applies nothing and moves no position, also after a restart, and goes on where it stopped", async () => {
    const world = await running();
    const answer = await pause(world);
    expect(answer).toMatchObject({ site: "lon", changed: true, begun: 0 });
    const before = statusAt(world, "lon").origins[0]?.position;
    world.put("nyc", "new", "n");
    world.remove("nyc", "k0");
    await world.pass(5_000);
    world.site("lon").kill();
    world.site("lon").start();
    await world.pass(20_000);
    expect(world.contents("lon")).toHaveProperty("k0");
    expect(world.contents("lon")).not.toHaveProperty("new");
    const paused = statusAt(world, "lon");
    expect(paused.pausedSince).toBe(answer.pausedSince);
    expect(paused.origins[0]).toMatchObject({ state: "paused", position: before });
    // Its own changes go out as ever.
    world.put("lon", "from lon", "x");
    await world.pass(5_000);
    expect(world.contents("nyc")).toHaveProperty("from lon");
    expect(targetAt(world, "nyc", "lon")).toMatchObject({
      state: "paused",
      atRisk: { mutations: 2 },
    });
    expect(await resume(world)).toMatchObject({ changed: true, pausedSince: null });
    await world.rest();
    expect(world.contents("lon")).toEqual(world.contents("nyc"));
    expect(world.handled("lon").repair?.repaired).toBe(0);
    expect(targetAt(world, "nyc", "lon")?.state).toBe("up to date");
  });

  it("has a gap when a log did not keep what it misses, which is repaired once it goes on (I7)", async () => {
    const world = await running();
    await pause(world);
    world.put("nyc", "new", "n");
    world.remove("nyc", "k0");
    await world.pass(3_000);
    for (const stream of [
      world.site("nyc").ground.log.stream,
      world.site("lon").ground.mirrors.get("nyc")?.stream,
    ])
      stream?.trim(stream.lastSeq);
    world.site("lon").kill();
    world.site("lon").start();
    await world.until("the gap", () => (world.site("lon").site?.caches.size ?? 0) > 0);
    world.handled("lon").openPeerGap("nyc", "a test says so");
    await world.pass(60_000);
    expect(world.handled("lon").peerGaps.size).toBe(1);
    expect(world.contents("lon")).not.toHaveProperty("new");
    await resume(world);
    await world.rest();
    expect(world.contents("lon")).toEqual(world.contents("nyc"));
    expect(world.handled("lon").repair?.repaired).toBeGreaterThan(0);
  });

  it("takes nothing by a resync either, whichever side began it", async () => {
    const world = await running();
    await pause(world);
    world.put("nyc", "new", "n");
    await world.pass(1_000);
    const question = { from: "nyc", cache: "sessions", dryRun: false };
    const { job } = await ask<{ job: number }>(world, "lon", "resync", question);
    await world.pass(120_000);
    expect(await ask(world, "lon", "job", { id: job })).toMatchObject({
      state: "failed",
      error: { code: ErrorCode.OperationRefused, message: "sessions is paused here" },
    });
    world.handled("nyc").openPeerGap("lon", "a test says so");
    await world.pass(60_000);
    expect(world.contents("lon")).not.toHaveProperty("new");
    await resume(world);
    await world.rest();
    expect(world.contents("lon")).toHaveProperty("new");
    expect(world.handled("nyc").peerGaps.size).toBe(0);
  });

  it("may be paused and resumed twice, and says so", async () => {
    const world = await running();
    expect(pauseText(await resume(world))).toBe("sessions at lon was not paused");
    const first = await pause(world);
    await world.pass(1_000);
    expect(await pause(world)).toEqual({ ...first, changed: false });
    expect(pauseText(first)).toMatch(/^sessions at lon is paused since 20.*Z$/);
    expect(pauseText(await resume(world))).toBe("sessions at lon goes on where it stopped");
  });

  it("is refused for a cache that does not exist or is not replicated", async () => {
    const world = await running();
    for (const verb of ["pause", "resume"])
      await expect(ask(world, "lon", verb, { cache: "other" })).rejects.toMatchObject({
        message: expect.stringContaining("its mode is off") as string,
      });
  });
});

describe("a target that an operator takes offline", () => {
  it("applies what it can, stays offline over a restart and however level it is, and says why", async () => {
    const world = await running();
    expect(await take(world)).toMatchObject({ caches: [{ changed: true, state: "offline" }] });
    world.put("nyc", "new", "n");
    await world.rest();
    expect(world.contents("lon")).toHaveProperty("new");
    world.site("nyc").kill();
    world.site("nyc").start();
    await world.rest();
    await world.pass(60_000);
    expect(targetAt(world, "nyc", "lon")).toMatchObject({
      state: "offline",
      why: "taken by an operator",
      offline: { by: "operator", isReturning: false },
    });
    // The other way nobody said anything.
    expect(targetAt(world, "lon", "nyc")?.offline).toBeNull();
    const again = await take(world);
    expect(targetText("lon", [again])).toBe("nyc  sessions  lon was already offline  0 at risk\n");
  });

  it("is online again at once when it is level, else as soon as it is", async () => {
    const world = await running();
    await take(world);
    expect(await release(world)).toMatchObject({ caches: [{ changed: true, state: "online" }] });
    expect(await release(world)).toMatchObject({ caches: [{ changed: false, state: "online" }] });
    await take(world);
    await pause(world);
    world.put("nyc", "new", "n");
    await world.pass(5_000);
    const returning = await release(world);
    expect(targetText("lon", [returning])).toBe(
      "nyc  sessions  lon is returning  1 at risk  it is paused there\n",
    );
    await world.pass(30_000);
    expect(targetAt(world, "nyc", "lon")).toMatchObject({
      state: "offline",
      why: "taken by an operator; back when level: it is paused there",
    });
    await resume(world);
    await world.rest();
    await world.pass(3_000);
    expect(targetAt(world, "nyc", "lon")).toMatchObject({ state: "up to date", offline: null });
  });

  it("is not online while it has a gap toward this site: the resync comes first", async () => {
    const world = await running();
    await take(world);
    // Nothing can close it while it is paused.
    await pause(world);
    world.handled("lon").openPeerGap("nyc", "a test says so");
    await world.pass(1_000);
    await release(world);
    await world.pass(10_000);
    expect(targetAt(world, "nyc", "lon")?.offline).not.toBeNull();
    await resume(world);
    await world.until("lon is online", () => targetAt(world, "nyc", "lon")?.offline === null);
    expect(world.handled("lon").peerGaps.size).toBe(0);
  });

  it("is refused for itself, a site that is no peer, and a cache that is not handled", async () => {
    const world = await running();
    for (const [target, cache, why] of [
      ["nyc", null, "no target of its own"],
      ["par", null, "has no peer par"],
      ["lon", "other", "its mode is off"],
    ] as const)
      await expect(ask(world, "nyc", "offline", { target, cache })).rejects.toMatchObject({
        message: expect.stringContaining(why) as string,
      });
  });
});

describe("a site that takes a target offline for all its caches", () => {
  it("touches only those whose changes go there", async () => {
    const names = ["nyc", "lon", "par"];
    const world = await running(names, undefined, "mode: async\n    to: [lon]");
    expect(targetText("par", [await take(world, "nyc", "par")])).toBe(
      "no site sends par anything\n",
    );
    expect(targetAt(world, "nyc", "par")).toBeUndefined();
    expect(await take(world, "par", "lon")).toMatchObject({ caches: [{ state: "offline" }] });
    expect(targetAt(world, "nyc", "lon")?.offline).toBeNull();
  });
});

describe("a target that the rule takes offline", () => {
  it("was silent for afterSilence though nobody wrote anything, and is back when it was level for a while", async () => {
    const world = await running();
    await world.stop("lon");
    await world.pass(20_000);
    expect(targetAt(world, "nyc", "lon")).toMatchObject({ state: "silent", offline: null });
    await world.pass(12_000);
    expect(targetAt(world, "nyc", "lon")?.offline).toMatchObject({ by: "rule", isReturning: true });
    expect(told(world, "a target is offline")).toBe(1);
    world.put("nyc", "new", "n");
    await world.pass(60_000);
    expect(told(world, "a target is offline")).toBe(1);
    expect(targetAt(world, "nyc", "lon")).toMatchObject({ atRisk: { mutations: 1 } });
    world.site("lon").start();
    await world.rest();
    // Level already, but not for long.
    expect(targetAt(world, "nyc", "lon")?.offline).not.toBeNull();
    await world.pass(12_000);
    expect(targetAt(world, "nyc", "lon")).toMatchObject({ state: "up to date", offline: null });
  });

  it("does not come and go with a link that does: a hiccup begins the wait anew", async () => {
    const world = await running();
    const cut = (): void => {
      world.links.cut("nyc", "lon");
      world.links.cut("lon", "nyc");
    };
    cut();
    await world.pass(35_000);
    for (let i = 0; i < 5; i++) {
      world.links.healAll();
      await world.pass(8_000);
      cut();
      await world.pass(4_000);
    }
    expect(targetAt(world, "nyc", "lon")?.offline).toMatchObject({ by: "rule" });
    expect(told(world, "a target is offline")).toBe(2);
    world.links.healAll();
    await world.pass(20_000);
    expect(targetAt(world, "nyc", "lon")?.offline).toBeNull();
    expect(told(world, "a target is online again")).toBe(2);
  });

  it("is one that never started, while the third site still gets everything", async () => {
    const world = new CalmSites(["nyc", "lon", "par"]);
    for (const name of ["nyc", "lon"]) world.site(name).start();
    await world.until("live", () =>
      ["nyc", "lon"].every((name) => world.site(name).site?.caches.size === 1),
    );
    world.put("nyc", "k", "v");
    await world.pass(40_000);
    expect(world.contents("lon")).toEqual({ k: "v" });
    // Once, however often par was tried.
    expect(statusAt(world, "lon").origins[0]).toMatchObject({ mutations: 1, retries: 0 });
    for (const name of ["nyc", "lon"]) {
      expect(targetAt(world, name, "par")?.offline).toMatchObject({ by: "rule" });
      const other = name === "nyc" ? "lon" : "nyc";
      expect(targetAt(world, name, other)?.offline).toBeNull();
    }
  });

  it("is not one that said in between that its cache works: failures count in a row", async () => {
    const world = await running(["nyc", "lon"], "{ takeOffline: { afterFailures: 8 } }");
    const seen = world.handled("nyc").targets;
    let trouble: "blocked" | undefined;
    Object.defineProperty(world.handled("lon"), "trouble", { get: () => trouble });
    for (let i = 0; i < 20; i++) {
      trouble = i % 4 === 3 ? undefined : "blocked";
      await world.pass(500);
    }
    expect(seen.mark("lon")).toBeUndefined();
  });

  it("said afterFailures times in a row that its cache cannot be used, for that cache alone", async () => {
    const world = await running(["nyc", "lon"], "{ takeOffline: { afterFailures: 8 } }");
    const seen = world.handled("nyc").targets;
    let trouble: "blocked" | undefined = "blocked";
    Object.defineProperty(world.handled("lon"), "trouble", { get: () => trouble });
    await world.pass(4_000);
    expect(seen.mark("lon")).toMatchObject({
      by: "rule",
      why: expect.stringMatching(/^\d+ heartbeats in a row said/) as string,
    });
    trouble = undefined;
    await world.pass(15_000);
    expect(seen.mark("lon")).toBeUndefined();
  });
});
