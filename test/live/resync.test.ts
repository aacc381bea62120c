// Goal: what a log lost between two sites arrives all the same, by itself, and the operator's commands say how things stand.
// Method: two sites with real servers; a log is purged and deleted, a ledger thrown away, a cache written behind its listener's
// back, while clients write on; then the caches are compared as a client reads them.
import { describe, expect, it } from "vitest";
import { logStream } from "../../topology/names.ts";
import { isthmus } from "../support/isthmus-command.ts";
import type { JavaCache } from "../support/java-client.ts";
import { linkTo, until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const CACHE = "sessions";
const KEYS = 5_000;

const sites = shared(async () => {
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches: { [CACHE]: {} } },
      { name: "lon", caches: { [CACHE]: {} } },
    ],
    policies: [`{ match: ${CACHE}, mode: async }`],
  });
  await started.run();
  return started;
});

const key = (i: number): Buffer => Buffer.from(`key-${i}`);
const value = (i: number): Buffer => Buffer.from(`value of ${i} `.repeat(10));
const cacheOf = (site: string): Promise<JavaCache> => sites().site(site).cache(CACHE);
const published = (site: string): number =>
  sites().site(site).handled(CACHE).agent?.stats.publishedMutations ?? -1;
const gapOf = (site: string) => [...sites().site(site).handled(CACHE).peerGaps];

/** Waits until no site has a gap, and all hold the same. */
async function level() {
  await until(
    "no gap is left",
    async () => gapOf("nyc").length + gapOf("lon").length === 0,
    60_000,
  );
  return sites().level(CACHE, { timeoutMs: 120_000 });
}

/** Does something to a site's own stream, as somebody with the NATS CLI does. */
async function withStream(
  site: string,
  work: (
    streams: Awaited<ReturnType<Awaited<ReturnType<typeof linkTo>>["manager"]>>["streams"],
    name: string,
  ) => Promise<unknown>,
): Promise<void> {
  const link = await linkTo(sites().site(site).nats, site);
  try {
    await work((await link.manager()).streams, logStream(site));
  } finally {
    await link.close();
  }
}

async function verify(...more: string[]) {
  const { folder, file } = sites();
  return isthmus(["verify", "-f", file, ...more], folder);
}

describe("a log that loses what the other site has not read", () => {
  it("by a purge: puts, changes and deletes arrive by a resync, and nothing is published for it (I1, I2, I4, I7)", async () => {
    const nyc = await cacheOf("nyc");
    for (let from = 0; from < KEYS; from += 500) {
      await nyc.putAll(
        Array.from({ length: 500 }, (_, i) => [key(from + i), value(from + i)] as const),
        from % 1_000 === 0 ? {} : { lifespanMs: 3_600_000 },
      );
    }
    expect((await level()).size).toBe(KEYS);
    sites().cut();
    await nyc.put(key(1), Buffer.from("changed"));
    await nyc.put(Buffer.from("new"), Buffer.from("n"));
    for (let i = 10; i < 40; i++) await nyc.remove(key(i));
    await (await cacheOf("lon")).put(key(5), Buffer.from("at lon meanwhile"));
    await sites().settled(CACHE, { sites: [] });
    await until("nyc has published", async () => {
      const { agent } = sites().site("nyc").handled(CACHE);
      return agent?.dirty === 0 && agent.outboxRows === 0;
    });
    await withStream("nyc", (streams, name) => streams.purge(name));
    const before = [published("nyc"), published("lon")];
    sites().heal();
    await until("lon found the gap", async () => {
      return (sites().site("lon").handled(CACHE).repair?.repaired ?? 0) > 0;
    });
    const found = await level();
    expect(found.size).toBe(KEYS + 1 - 30);
    expect(found.get(key(1).toString("hex"))?.value.toString()).toBe("changed");
    expect(found.get(key(5).toString("hex"))?.value.toString()).toBe("at lon meanwhile");
    expect(published("nyc")).toBe(before[0]);
  }, 240_000);

  it("by its end: the log is made anew though nobody writes, and the other site is level again", async () => {
    const nyc = await cacheOf("nyc");
    sites().cut();
    await nyc.put(key(2), Buffer.from("before the end"));
    await until("nyc has published", async () => {
      const { agent } = sites().site("nyc").handled(CACHE);
      return agent?.dirty === 0 && agent.outboxRows === 0;
    });
    await withStream("nyc", (streams, name) => streams.delete(name));
    sites().heal();
    await until("lon has it", async () => {
      return (await (await cacheOf("lon")).get(key(2)))?.toString() === "before the end";
    });
    await level();
  }, 120_000);
});

describe("a ledger that was lost while the logs were trimmed", () => {
  it("is rebuilt from the other site: no value becomes a change, and a delete made meanwhile stays one (I3, I6)", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    const before = published("nyc");
    await lon.stop();
    await (await cacheOf("nyc")).remove(key(100));
    await (await cacheOf("nyc")).put(key(101), Buffer.from("while lon was away"));
    await until("nyc has published", async () => published("nyc") === before + 2);
    for (const site of ["nyc", "lon"])
      await withStream(site, (streams, name) => streams.purge(name));
    sites().newLedgers();
    lon.start(sites().configure());
    await sites().live([lon]);
    const found = await level();
    expect(found.has(key(100).toString("hex"))).toBe(false);
    expect(found.get(key(101).toString("hex"))?.value.toString()).toBe("while lon was away");
    expect([published("lon"), published("nyc")]).toEqual([0, before + 2]);
    await nyc.stop();
    nyc.start(sites().configure());
    await sites().live([nyc]);
    await level();
  }, 240_000);
});

describe("isthmus verify and resync", () => {
  it("find real caches level, name a key that was written behind Isthmus's back, and make it right", async () => {
    await level();
    const fine = await verify();
    expect([fine.code, fine.out]).toEqual([0, expect.stringMatching(/^sessions: 0 keys differ/)]);
    const address = sites().site("lon").nodes[0]?.address ?? "";
    const connection = await sites().java.connect(address);
    const unheard = connection.cache(CACHE, undefined, ["SKIP_LISTENER_NOTIFICATION"]);
    await unheard.put(key(7), Buffer.from("no event tells of it"));
    const { code, out } = await verify("--json", "--cache", CACHE);
    expect(code).toBe(1);
    const [cache] = (JSON.parse(out) as { caches: Array<{ differing: unknown[] }> }).caches;
    expect(cache?.differing).toMatchObject([
      {
        key: "key-7",
        cause: expect.stringContaining("the cache of lon holds something else") as string,
      },
    ]);
    const { folder, file } = sites();
    const args = ["resync", "-f", file, "--from", "nyc", "--to", "lon"];
    const dry = await isthmus([...args, "--dry-run"], folder);
    // The ledgers agree: what Isthmus knows of is level.
    expect([dry.code, dry.out]).toEqual([0, "sessions: 0 keys differ\n"]);
    // A write that an event tells of is replicated.
    await (await cacheOf("lon")).put(key(7), Buffer.from("heard"));
    await level();
    expect((await verify()).code).toBe(0);
  }, 120_000);

  it("end with 3 and the reason while a site cannot be reached, and with 2 for wrong use", async () => {
    sites().cut();
    const away = await verify("--site", "nyc");
    expect([away.code, away.err]).toEqual([3, expect.stringContaining("IS3009")]);
    sites().heal();
    const { folder, file } = sites();
    const wrong = await isthmus(["resync", "-f", file, "--from", "nyc", "--to", "nyc"], folder);
    expect(wrong.code).toBe(2);
  }, 120_000);
});
