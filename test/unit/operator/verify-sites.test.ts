import { describe, expect, it } from "vitest";
import { verificationText } from "../../../deploy/cli/verify.ts";
import { causeOf, isAlike, type SiteFacts } from "../../../deploy/operator/difference.ts";
import { followJob } from "../../../deploy/operator/follow-job.ts";
import type { KeyView } from "../../../deploy/operator/key-view.ts";
import type { ResyncedCache } from "../../../deploy/operator/sync-verbs.ts";
import { Verify, whyLeftOut } from "../../../deploy/operator/verify-sites.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { CalmSites } from "../../support/calm-sites.ts";

async function running(rule?: string): Promise<CalmSites> {
  const world = new CalmSites(["nyc", "lon"], rule);
  for (const site of world.sites) site.start();
  await world.rest();
  for (let i = 0; i < 20; i++) world.put(i % 2 === 0 ? "nyc" : "lon", `k${i}`, `v${i}`);
  await world.rest();
  return world;
}

const verify = (world: CalmSites, at = "lon", cache?: string) =>
  world.settle(new Verify(world.config, world.operator(at), () => undefined).run(cache));

describe("verify", () => {
  it("finds level caches equal, from any site", async () => {
    const world = await running();
    for (const at of ["nyc", "lon"]) {
      const { caches } = await verify(world, at);
      expect(caches).toEqual([
        { cache: "sessions", entries: { nyc: 20, lon: 20 }, differing: [], busy: 0, isCut: false },
      ]);
    }
  });

  it("reports nothing that is in flight while clients write", async () => {
    const world = await running();
    let writes = 0;
    const asker = world.operator("nyc");
    const write = (): void => {
      writes += 1;
      world.put(writes % 2 === 0 ? "nyc" : "lon", `k${writes % 7}`, `live ${writes}`);
      if (writes < 800) void asker.clock.sleep(5).then(write);
    };
    write();
    const { caches } = await world.settle(
      new Verify(world.config, asker, () => undefined).run("sessions"),
    );
    expect(writes).toBeGreaterThan(100);
    expect(caches[0]?.differing).toEqual([]);
  });

  it("looks into the real caches: names the key, both contents, and the site whose ledger says something else", async () => {
    const world = await running();
    world.tampered.set("lon k3", "something else");
    world.tampered.set("nyc k4", undefined);
    const found = await verify(world);
    const differing = found.caches[0]?.differing ?? [];
    expect(differing.map(({ key }) => key).sort()).toEqual(["k3", "k4"]);
    const causes = differing.map(({ key, cause }) => `${key}: ${cause}`).join("\n");
    expect(causes).toContain("k3: the cache of lon holds something else than its ledger says");
    expect(causes).toContain("k4: the cache of nyc holds something else than its ledger says");
    expect(differing[0]?.sites.map(({ site }) => site)).toEqual(["nyc", "lon"]);
    const text = verificationText(found);
    expect(text).toContain("sessions: 2 keys differ (entries: nyc 19, lon 20)");
    expect(text).toContain("nyc: no entry; live: nyc's put");
    expect(text).not.toContain("something else than its ledger says: v");
  });

  it("does not take what one site alone cannot tell for a fault: a site that is away is an error", async () => {
    const world = await running();
    world.site("lon").kill();
    await expect(verify(world, "nyc")).rejects.toMatchObject({ code: ErrorCode.PeerUnreachable });
  });

  it("says which caches it does not compare, and why", async () => {
    const world = await running("mode: invalidate");
    const { caches, leftOut } = await verify(world);
    expect(caches).toEqual([]);
    expect(leftOut).toEqual([
      { cache: "sessions", why: "under invalidate each site has its own copies" },
    ]);
    expect(whyLeftOut(world.config, "other")).toBe("its mode is off");
  });
});

describe("a resync that an operator asks for", () => {
  const resync = (world: CalmSites, dryRun: boolean) =>
    world.settle(
      followJob<{ caches: ResyncedCache[] }>(
        world.operator("lon"),
        { site: "lon", verb: "resync", question: { from: "nyc", cache: "sessions", dryRun } },
        () => undefined,
      ),
    );

  it("brings what the one site has to the other, and names it in a dry run", async () => {
    const world = await running();
    const rows = world.handled("lon").agent?.rows;
    rows?.delete("k0");
    rows?.delete("k2");
    await world.pass(1_000);
    expect((await resync(world, true)).caches).toEqual([
      { cache: "sessions", differing: 2, received: 0, bytes: 0, keys: ["k0", "k2"] },
    ]);
    expect((await resync(world, false)).caches).toMatchObject([{ differing: 2, received: 2 }]);
    expect((await resync(world, true)).caches).toMatchObject([{ differing: 0 }]);
  });

  it("is refused for a site or a cache that is not there", async () => {
    const world = await running();
    const ask = (question: object) =>
      world.settle(
        followJob(
          world.operator("lon"),
          { site: "lon", verb: "resync", question },
          () => undefined,
        ),
      );
    const refused = { code: ErrorCode.PeerRefused };
    await expect(ask({ from: "par", cache: null, dryRun: true })).rejects.toMatchObject(refused);
    await expect(ask({ from: "nyc", cache: "x", dryRun: true })).rejects.toMatchObject(refused);
  });

  it("fails with the reason when the other site stays away", async () => {
    const world = await running();
    world.site("nyc").kill();
    await world.pass(5_000);
    await expect(resync(world, false)).rejects.toMatchObject({
      code: ErrorCode.JobFailed,
      message: expect.stringContaining("no heartbeat of nyc") as string,
    });
  });
});

describe("why a key differs", () => {
  const view = (site: string, more: Partial<KeyView> = {}): KeyView => ({
    site,
    key: "k",
    content: { hash: "a", bytes: 1, expiresAt: 0, maxIdleMs: 0 },
    presence: "live",
    versions: [{ author: "nyc", dot: "5", at: 0, kind: "put", hash: "a" }],
    seen: { nyc: "5" },
    isAsSaid: true,
    ...more,
  });
  const facts = new Map<string, SiteFacts>([
    ["nyc", { offsetMs: 0, gaps: {} }],
    ["lon", { offsetMs: 10_000, gaps: { nyc: "the log was trimmed" } }],
  ]);

  it("is told by what a site has not seen, with the gap that it has", () => {
    const newer = view("nyc", {
      versions: [{ author: "nyc", dot: "6", at: 0, kind: "remove", hash: "" }],
      seen: { nyc: "6" },
      content: null,
      presence: "tombstone",
    });
    expect(causeOf([newer, view("lon")], facts)).toBe(
      "lon has not got the remove of nyc at 1970-01-01T00:00:00.000Z, which nyc has; its gap is not repaired yet: the log was trimmed",
    );
  });

  it("is a copy that is missing, an end at another time, or a fault of ours", () => {
    const absent = view("lon", { content: null, presence: "absent" });
    expect(causeOf([view("nyc"), absent], facts)).toContain(
      "lon knows the version and has no copy",
    );
    const content = { hash: "a", bytes: 1, expiresAt: 90_000, maxIdleMs: 0 };
    const ends = [view("nyc", { content }), view("lon", { content })];
    expect(isAlike(ends, facts)).toBe(false);
    expect(causeOf(ends, facts)).toBe("the entries end at different times");
    const shifted = view("lon", { content: { ...content, expiresAt: 100_000 } });
    expect(isAlike([view("nyc", { content }), shifted], facts)).toBe(true);
    const other = view("lon", { content: { hash: "b", bytes: 1, expiresAt: 0, maxIdleMs: 0 } });
    expect(causeOf([view("nyc"), other], facts)).toContain("report this");
  });
});
