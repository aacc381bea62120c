// Goal: what a cache's policy says is what happens: invalidation, evicting targets, other names, other targets, and two files
// that disagree. Method: two sites with a real Infinispan each; processes are stopped and started with other files.
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../topology/errors.ts";
import { logSubjects } from "../../topology/names.ts";
import type { JavaCache } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import type { ReplicatedSite } from "../support/replicated-site.ts";
import { shared } from "../support/server-provider.ts";

const EVICTED_ABOVE = 1_000;
const POLICIES = [
  "{ match: invalidated, mode: invalidate }",
  "{ match: evicting, mode: async, evicts: true }",
  "{ match: crowded, mode: async }",
  "{ match: renamed, mode: async, rename: { lon: renamed_there } }",
  "{ match: one-way, mode: async, to: [lon] }",
  '{ match: "app-*", mode: async }',
];
const agreed = [...POLICIES, "{ match: disputed, mode: async }"];
const other = [...POLICIES, "{ match: disputed, mode: async, conflict: first-writer-wins }"];

const sites = shared(async () => {
  const both = { invalidated: {}, "one-way": {}, "app-one": {}, disputed: {} };
  const limited = { maxCount: EVICTED_ABOVE };
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches: { ...both, evicting: {}, crowded: {}, renamed: {} } },
      {
        name: "lon",
        caches: { ...both, evicting: limited, crowded: limited, renamed_there: {} },
      },
    ],
    policies: agreed,
  });
  await started.run();
  return started;
});

const key = (name: string): Buffer => Buffer.from(name);
const at = (site: string, cache: string): Promise<JavaCache> => sites().site(site).cache(cache);

function published(site: string, cache: string): number {
  return sites().site(site).handled(cache).agent?.stats.publishedMutations ?? -1;
}

/** Every record in a site's log. */
async function recordsOf({ site }: ReplicatedSite): Promise<Buffer[]> {
  const end = (await site.ports.log.state())?.lastSeq ?? 0;
  const records = await site.ports.log.window(logSubjects(site.name), 0, end);
  return records.map(({ payload }) => Buffer.from(payload));
}

describe("mode invalidate", () => {
  it("removes the copies of a changed key elsewhere, sends no value, and takes a put there for a load", async () => {
    const [nyc, lon] = [await at("nyc", "invalidated"), await at("lon", "invalidated")];
    const k = key("page");
    const secret = (n: number): Buffer => key(`the secret value ${n} of this page`);
    await nyc.put(k, secret(1));
    await sites().settled("invalidated");
    await lon.put(k, secret(1));
    await sites().settled("invalidated");
    const loaded = published("lon", "invalidated");
    expect(loaded).toBe(0);
    await nyc.put(k, secret(2));
    await until("lon's copy is gone", async () => !(await lon.containsKey(k)));
    await sites().settled("invalidated");
    expect(await nyc.get(k)).toEqual(secret(2));
    // A load at lon, then a change of that copy, which invalidates nyc's.
    await lon.put(k, secret(2));
    await sites().settled("invalidated");
    expect(published("lon", "invalidated")).toBe(0);
    await lon.put(k, secret(3));
    await until("nyc's copy is gone", async () => !(await nyc.containsKey(k)));
    await sites().settled("invalidated");
    expect(await lon.get(k)).toEqual(secret(3));
    expect(published("lon", "invalidated")).toBe(1);
    expect(published("nyc", "invalidated")).toBe(2);
    // A remove of a copy invalidates too.
    await nyc.put(k, secret(3));
    await sites().settled("invalidated");
    await lon.remove(k);
    await until("nyc's copy is gone again", async () => !(await nyc.containsKey(k)));
    for (const site of sites().all)
      for (const record of await recordsOf(site)) {
        expect(record.includes(key("the secret value"))).toBe(false);
      }
  });
});

describe("a target that evicts", () => {
  for (const [cache, why] of [
    ["evicting", "because the file says so"],
    ["crowded", "because too many keys are missing at once"],
  ] as const) {
    it(`removes nothing at the origin, ${why}`, async () => {
      const count = 3 * EVICTED_ABOVE;
      const nyc = await at("nyc", cache);
      for (let from = 0; from < count; from += 500) {
        const entries = Array.from(
          { length: 500 },
          (_, i) => [key(`key-${from + i}`), key(`value ${from + i}`)] as const,
        );
        await nyc.putAll(entries);
      }
      await sites().settled(cache);
      const lon = sites().site("lon");
      expect(await (await lon.cache(cache)).size()).toBeLessThanOrEqual(EVICTED_ABOVE);
      const absences = () => lon.handled(cache).agent?.stats.absences ?? 0;
      const before = absences();
      // A start scans.
      await lon.stop();
      lon.start(sites().configure());
      await sites().live([lon]);
      await sites().settled(cache);
      // More than a scan would take for single deletes.
      expect(before + absences()).toBeGreaterThan(150);
      await nyc.put(key("sentinel"), key("sentinel"));
      // It may be evicted at once, so that it was applied is all there is to wait for.
      await sites().settled(cache);
      const atLon = await lon.cache(cache);
      expect(published("lon", cache)).toBe(0);
      expect(await nyc.size()).toBe(count + 1);
      // What it holds is right, and a later change comes.
      for (const [hex, { value }] of await atLon.entries()) {
        expect(await nyc.get(Buffer.from(hex, "hex"))).toEqual(value);
      }
    });
  }
});

describe("a target that evicts though the file does not say so", () => {
  it("is found out when what was refilled is gone again and again: said once, refilled no more, nothing removed elsewhere (I7)", async () => {
    const lon = sites().site("lon");
    const nyc = await at("nyc", "crowded");
    const { agent, fetcher } = lon.handled("crowded");
    const held = await nyc.size();
    expect(held).toBeGreaterThan(2 * EVICTED_ABOVE);
    const told = () =>
      lon.logger.lines.filter(
        ({ fields }) => (fields as { code?: string }).code === ErrorCode.CacheEvicts,
      );
    const scanned = async (): Promise<void> => {
      agent?.openGap("looked at by the test");
      await sites().settled("crowded");
    };
    await until(
      "it is found out",
      async () => {
        if (told().length > 0) return true;
        await scanned();
        return false;
      },
      60_000,
    );
    expect(agent?.problem).toMatchObject({
      code: ErrorCode.CacheEvicts,
      hint: expect.stringContaining("evicts: true"),
    });
    let before = fetcher?.fetched ?? 0;
    await until("what was being fetched has come", async () => {
      const [last, now] = [before, fetcher?.fetched ?? 0];
      before = now;
      await scanned();
      return last === now;
    });
    await scanned();
    expect(fetcher?.fetched).toBe(before);
    expect(told()).toHaveLength(1);
    expect(agent?.state).toBe("live");
    expect(published("lon", "crowded")).toBe(0);
    expect(await nyc.size()).toBe(held);
    // What changes still comes.
    await nyc.put(key("after all"), key("comes"));
    await sites().settled("crowded");
    const shows = await (await lon.cache("crowded")).get(key("after all"));
    expect([undefined, "comes"]).toContain(shows?.toString());
  });
});

describe("rules", () => {
  it("map a cache to another name at a site", async () => {
    await (await at("nyc", "renamed")).put(key("from nyc"), key("1"));
    await (await at("lon", "renamed_there")).put(key("from lon"), key("2"));
    const found = await sites().level("renamed");
    expect([...found.values()].map(({ value }) => value.toString()).sort()).toEqual(["1", "2"]);
  });

  it("send a cache to the sites that `to` names, and nowhere else", async () => {
    const [nyc, lon] = [await at("nyc", "one-way"), await at("lon", "one-way")];
    await nyc.put(key("there"), key("1"));
    await lon.put(key("stays"), key("2"));
    await until("it came to lon", () => lon.containsKey(key("there")));
    await sites().settled("one-way");
    const passed = () =>
      sites()
        .site("nyc")
        .handled("one-way")
        .receivers.reduce((sum, r) => sum + r.stats.passed, 0);
    await until("nyc passed over what lon sent", async () => passed() === 1);
    expect(await nyc.containsKey(key("stays"))).toBe(false);
    expect(await lon.size()).toBe(2);
  });

  it("find caches by a pattern", async () => {
    await until("the cache was found", async () =>
      sites().all.every(({ site }) => site.caches.get("app-one")?.agent?.state === "live"),
    );
    await (await at("nyc", "app-one")).put(key("found"), key("by a pattern"));
    const found = await sites().level("app-one");
    expect(found.size).toBe(1);
  });
});

describe("sites whose files disagree on a conflict policy", () => {
  it("block that cache, say so, let others go on, and go on with it once the files agree (I1)", async () => {
    const lon = sites().site("lon");
    await lon.stop();
    lon.start(sites().configure(other));
    await sites().live([lon]);
    const nyc = await at("nyc", "disputed");
    await nyc.put(key("waits"), key("1"));
    await (await at("lon", "disputed")).put(key("waits too"), key("2"));
    const blocked = () =>
      sites().all.every(({ name, site }) => {
        const [receiver] = site.caches.get("disputed")?.receivers ?? [];
        return receiver?.blocked?.includes("another policy") === true && name !== "";
      });
    await until("both sites blocked the cache", async () => blocked());
    for (const { logger } of sites().all) {
      const codes = logger.lines.map(({ fields }) => (fields as { code?: string }).code);
      expect(codes).toContain(ErrorCode.ReceiverBlocked);
    }
    await (await at("nyc", "renamed")).put(key("goes on"), key("3"));
    await sites().level("renamed");
    expect(await (await at("lon", "disputed")).containsKey(key("waits"))).toBe(false);
    await lon.stop();
    lon.start(sites().configure(agreed));
    await sites().live([lon]);
    // What lon wrote under the other policy is in its log as such: nyc waits until that file is at both sites too.
    const found = await sites().level("disputed");
    expect([...found.values()].map(({ value }) => value.toString()).sort()).toEqual(["1", "2"]);
  });
});
