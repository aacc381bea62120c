// Goal: no crash of a site's process loses an acknowledged write, brings a deleted key back, or makes a replicated value a
// local change. Method: both sites' processes, as users run them, are killed again and again under the Java client's load;
// what the test itself remembers of acknowledged writes, and the sites' logs, decide.
import { describe, expect, it } from "vitest";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { decodeRecord } from "../../topology/mutation/batch.ts";
import type { Batch } from "../../topology/mutation/batch.ts";
import { logSubjects } from "../../topology/names.ts";
import { AcknowledgedWriter, unacknowledged } from "../support/acknowledged-writer.ts";
import { JavaClient } from "../support/java-client.ts";
import type { JavaEntry } from "../support/java-client.ts";
import { linkTo, TEST_LIMITS, until } from "../support/linked-sites.ts";
import { difference, ReplicatedSites } from "../support/replicated-sites.ts";
import type { ReplicatedSite } from "../support/replicated-site.ts";
import { shared } from "../support/server-provider.ts";
import { realClock } from "../support/real-time.ts";

const CACHE = "sessions";
const SITES = ["nyc", "lon"] as const;
const LOAD = {
  ownKeys: 300,
  sharedKeys: 60,
  shared: 0.25,
  // Few enough that no more than 100 keys are missing after an outage: beyond it they count as lost by the cache.
  removes: 0.08,
  pauseMs: 25,
};

const sites = shared(() =>
  ReplicatedSites.start({
    sites: SITES.map((name) => ({ name, caches: { [CACHE]: {} } })),
    policies: [`{ match: ${CACHE}, mode: async }`],
  }),
);

describe("killed processes under load", () => {
  it("lose no acknowledged write, bring no deleted key back, and are level again after each restart (I1, I3, I4, I6)", async () => {
    const all = sites();
    all.configure();
    for (const site of all.all) site.spawn(all.file);
    const clients = await Promise.all(SITES.map(() => JavaClient.start(128)));
    const writers = new Map<string, AcknowledgedWriter>();
    for (const [i, name] of SITES.entries()) {
      const connection = await clients[i]?.connect(all.site(name).nodes[0]?.address ?? "");
      if (connection === undefined) throw new Error("no connection");
      writers.set(name, new AcknowledgedWriter(name, connection.cache(CACHE), LOAD));
    }
    await replicates(all, "before");
    for (const writer of writers.values()) writer.start();
    for (const [round, victims] of [["nyc"], ["lon"], ["nyc", "lon"]].entries()) {
      await writes(writers, 60);
      await Promise.all(victims.map((name) => all.site(name).kill()));
      await writes(writers, 60);
      for (const name of victims) all.site(name).spawn(all.file);
      await replicates(all, `round ${round}`);
    }
    for (const writer of writers.values()) await writer.stop();
    const shown = await sameEverywhere(all);
    const both = [...writers.values()];
    expect(both.map((writer) => writer.failures)).toEqual([0, 0]);
    expect(Math.min(...both.map((writer) => writer.last.size))).toBeGreaterThan(150);
    expect(unacknowledged(shown, both)).toEqual([]);
    for (const site of all.all) await expectOwnChangesOnly(site, writers);
    for (const client of clients) await client[Symbol.asyncDispose]();
    await all.stop();
  }, 240_000);
});

/** Waits until each site's writer has made so many more writes. */
async function writes(
  writers: ReadonlyMap<string, AcknowledgedWriter>,
  count: number,
): Promise<void> {
  const ends = [...writers.values()].map((writer) => [writer, writer.writes + count] as const);
  await until("the writers wrote", async () => ends.every(([w, end]) => w.writes >= end));
}

/** Waits until a write at each site comes to the other: the processes are up, and their leases theirs. */
async function replicates(all: ReplicatedSites, what: string): Promise<void> {
  const [nyc, lon] = await Promise.all(all.all.map((site) => site.cache(CACHE)));
  if (nyc === undefined || lon === undefined) throw new Error("two sites");
  const canary = Buffer.from(`canary ${what}`);
  await nyc.put(Buffer.concat([canary, Buffer.from(" nyc")]), canary);
  await lon.put(Buffer.concat([canary, Buffer.from(" lon")]), canary);
  const both = [" nyc", " lon"].map((end) => Buffer.concat([canary, Buffer.from(end)]));
  const begin = performance.now();
  await until(
    `writes of both sites are at both (${what})`,
    async () => {
      for (const site of all.all) {
        const { child } = site;
        if (!child.alive || performance.now() - begin > 80_000) throw child.fault("stopped");
        for (const key of both)
          if (!(await (await site.cache(CACHE)).containsKey(key))) return false;
      }
      return true;
    },
    90_000,
  );
}

async function sameEverywhere(all: ReplicatedSites): Promise<Map<string, JavaEntry>> {
  return until(
    "both sites hold the same, and still do when asked again",
    async () => {
      const look = async () =>
        Promise.all(all.all.map(async (site) => (await site.cache(CACHE)).entries()));
      const [nyc, lon] = await look();
      await realClock.sleep(1_000);
      const [nycLater, lonLater] = await look();
      if (!nyc || !lon || !nycLater || !lonLater) throw new Error("two sites");
      for (const other of [lon, nycLater, lonLater]) {
        const fault = difference(nyc, other);
        if (fault !== undefined) throw new Error(fault);
      }
      return nyc;
    },
    60_000,
  );
}

/** The log of a site holds values that were written there, and removes of keys that were removed there, each once. */
async function expectOwnChangesOnly(
  site: ReplicatedSite,
  writers: ReadonlyMap<string, AcknowledgedWriter>,
): Promise<void> {
  const writer = writers.get(site.name);
  if (writer === undefined) throw new Error("no writer");
  const link = await linkTo(site.nats, site.name);
  const log = new NatsSiteLog(link, TEST_LIMITS);
  const end = (await log.state())?.lastSeq ?? 0;
  const records = (await log.window(logSubjects(site.name), 0, end)).map(({ payload }) =>
    decodeRecord(payload),
  );
  await link.close();
  const batches = records.filter((record): record is Batch => record.kind === "batch");
  const dots = new Map<string, bigint>();
  const foreign: string[] = [];
  for (const { header, mutations } of batches) {
    expect(header).toMatchObject({ origin: site.name, cache: CACHE });
    for (const { key, kind, dot, value } of mutations) {
      dots.set(`${key} ${dot}`, dot);
      const text = Buffer.from(value ?? []).toString();
      const isOwn =
        kind === "put"
          ? writer.values.has(text) || text.startsWith("canary")
          : writer.removed.has(key);
      if (!isOwn) foreign.push(`${kind} ${key} ${text}`);
    }
  }
  expect(foreign).toEqual([]);
  expect(dots.size).toBeLessThanOrEqual(writer.writes + 4);
  // One incarnation, no jump of the counter: no batch is missing. A duplicate repeats its counter.
  const counters = new Set(batches.map(({ header }) => `${header.incarnation} ${header.counter}`));
  const incarnations = new Set(batches.map(({ header }) => header.incarnation));
  expect(incarnations.size).toBe(1);
  expect(counters.size).toBe(Math.max(...batches.map(({ header }) => header.counter)));
}
