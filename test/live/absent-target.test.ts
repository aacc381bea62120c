// Goal: an operator pauses a target, takes one offline and back, and brings a site back that was away for longer than
// tombstones are kept: nothing is lost, and nothing that was removed comes back. Method: two sites with a real Infinispan and a
// real nats-server each; the commands are processes of their own; the age of tombstones is set to seconds, which no file can ask for.
import { describe, expect, it } from "vitest";
import type { Config } from "../../topology/config/config.ts";
import type { SiteStatus } from "../../deploy/status/site-status.ts";
import { isthmus } from "../support/isthmus-command.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const CACHE = "sessions";

const sites = shared(async () => {
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches: { [CACHE]: {} } },
      { name: "lon", caches: { [CACHE]: {} } },
    ],
    policies: [`{ match: ${CACHE}, mode: async }`],
    limits: "takeOffline: { afterSilence: 3s }",
  });
  const config = shortLived(started.configure());
  for (const site of started.all) site.start(config);
  await started.live();
  return started;
});

/** With tombstones that are kept for ten seconds. */
const shortLived = (config: Config): Config => ({
  ...config,
  limits: { ...config.limits, tombstones: { maxAgeMs: 10_000 } },
});

const bytes = (text: string): Buffer => Buffer.from(text);
const cacheAt = (site: string) => sites().site(site).cache(CACHE);
const readAt = async (site: string, key: string): Promise<string | undefined> =>
  (await (await cacheAt(site)).get(bytes(key)))?.toString();
const command = (...args: string[]) => {
  const [verb = "", ...more] = args;
  return isthmus([verb, "-f", sites().file, ...more], sites().folder);
};

/** What `isthmus status` says of one site. */
async function statusOf(name: string): Promise<SiteStatus> {
  const { out } = await command("status", "--json");
  const answer = JSON.parse(out) as { sites: SiteStatus[] };
  const found = answer.sites.find(({ site }) => site === name);
  if (found === undefined) throw new Error(`no status of ${name}`);
  return found;
}

const targetAt = async (name: string) => (await statusOf(name)).caches[0]?.targets[0];

describe("a target", () => {
  it("that is paused applies nothing until it is resumed, also over a restart, and misses nothing then (I1)", async () => {
    const nyc = await cacheAt("nyc");
    for (const key of ["a", "b", "c"]) await nyc.put(bytes(key), bytes(`${key} at first`));
    await sites().level(CACHE);
    const args = ["--cache", CACHE, "--target", "lon"];
    const paused = await command("pause", ...args);
    expect([paused.code, paused.out]).toEqual([0, expect.stringMatching(/is paused since 20/)]);
    await nyc.put(bytes("a"), bytes("changed"));
    await nyc.remove(bytes("b"));
    await sites().site("lon").stop();
    sites().site("lon").start(shortLived(sites().configure()));
    await sites().live([sites().site("lon")]);
    await until("nyc sees that lon is paused", async () => {
      const target = await targetAt("nyc");
      return target?.state === "paused" && target.atRisk.mutations === 2;
    });
    expect([await readAt("lon", "a"), await readAt("lon", "b")]).toEqual([
      "a at first",
      "b at first",
    ]);
    const status = await command("status");
    expect([status.code, status.out]).toEqual([1, expect.stringContaining("live, PAUSED")]);
    const resumed = await command("resume", ...args);
    expect([resumed.code, resumed.out]).toEqual([0, "sessions at lon goes on where it stopped\n"]);
    const found = await sites().level(CACHE);
    expect(found.size).toBe(2);
    expect(await readAt("lon", "a")).toBe("changed");
  }, 120_000);

  it("that an operator takes offline still applies, and counts again when an operator says so", async () => {
    const taken = await command("offline", "--target", "lon");
    expect([taken.code, taken.out]).toEqual([0, "nyc  sessions  lon is offline  0 at risk\n"]);
    await (await cacheAt("nyc")).put(bytes("c"), bytes("while offline"));
    await sites().level(CACHE);
    expect(await targetAt("nyc")).toMatchObject({ state: "offline", offline: { by: "operator" } });
    const back = await command("online", "--target", "lon", "--cache", CACHE);
    expect([back.code, back.out]).toEqual([0, "nyc  sessions  lon is online  0 at risk\n"]);
    expect(await targetAt("nyc")).toMatchObject({ state: "up to date", offline: null });
    const wrong = await command("offline", "--target", "lon", "--cache", "other");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("is not replicated")]);
  }, 120_000);

  it("that is cut off is offline by the rule without any traffic, and comes back by itself when it stayed level", async () => {
    sites().cut();
    await until("nyc takes lon offline", async () => {
      return sites().site("nyc").handled(CACHE).targets.mark("lon")?.by === "rule";
    });
    expect(sites().site("nyc").logger.lines).toContainEqual(
      expect.objectContaining({
        level: "error",
        message: expect.stringContaining("is offline") as string,
      }),
    );
    await (await cacheAt("nyc")).put(bytes("c"), bytes("meanwhile"));
    sites().heal();
    await sites().level(CACHE);
    expect(sites().site("nyc").handled(CACHE).targets.mark("lon")).toBeDefined();
    await until("lon is online", async () => {
      return sites().site("nyc").handled(CACHE).targets.mark("lon") === undefined;
    });
  }, 120_000);
});

describe("a site that was away for longer than tombstones are kept", () => {
  it("brings nothing back, and is level and taken again once it was re-seeded (I3)", async () => {
    const [nyc, lon] = [await cacheAt("nyc"), await cacheAt("lon")];
    for (let i = 0; i < 50; i++) await nyc.put(bytes(`k${i}`), bytes(`v${i}`));
    await sites().level(CACHE);
    sites().cut();
    for (let i = 0; i < 10; i++) await nyc.remove(bytes(`k${i}`));
    await lon.put(bytes("only lon"), bytes("x"));
    await lon.remove(bytes("k20"));
    const atNyc = sites().site("nyc").handled(CACHE);
    const isGone = async () => atNyc.refusals.has("lon") && (atNyc.tombstones?.forced ?? 0) >= 10;
    await until("nyc refuses lon, and the tombstones are gone", isGone, 240_000);
    sites().heal();
    await until("lon is told", async () => {
      const { problems } = await statusOf("lon");
      return problems.some(({ what }) => what.startsWith("nyc takes nothing of this site"));
    });
    const plain = await command("resync", "--from", "nyc", "--to", "lon");
    expect([plain.code, plain.err]).toEqual([1, expect.stringContaining("IS3037")]);
    for (const key of ["k0", "only lon"]) expect(await readAt("nyc", key)).toBeUndefined();
    const args = ["resync", "--from", "nyc", "--to", "lon", "--cache", CACHE, "--reseed"];
    const plan = await command(...args);
    expect([plan.code, plan.err]).toEqual([1, expect.stringContaining("--confirm lon")]);
    expect(await readAt("lon", "only lon")).toBe("x");
    const done = await command(...args, "--confirm", "lon");
    expect([done.code, done.out]).toEqual([
      0,
      expect.stringMatching(/^sessions: \d+ keys differ, /),
    ]);
    await until("nobody is refused, no gap is left", async () => {
      return ["nyc", "lon"].every((name) => {
        const { refusals, peerGaps } = sites().site(name).handled(CACHE);
        return refusals.peers.length === 0 && peerGaps.size === 0;
      });
    });
    const found = await sites().level(CACHE);
    for (const key of ["k0", "only lon"]) expect(found.has(bytes(key).toString("hex"))).toBe(false);
    expect(await readAt("lon", "k20")).toBe("v20");
    const lost = await command("conflicts", "--json");
    expect(lost.out).toContain('"only lon"');
    await lon.put(bytes("after"), bytes("a"));
    await sites().level(CACHE);
    expect(await readAt("nyc", "after")).toBe("a");
    expect((await command("verify")).code).toBe(0);
  }, 400_000);
});
