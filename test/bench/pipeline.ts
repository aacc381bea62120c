import { statSync } from "node:fs";
import { join } from "node:path";
import { expirationOfMs } from "../../topology/hotrod/expiration.ts";
import { PROTOSTREAM } from "../../topology/hotrod/media-type.ts";
import type { HotRodPool } from "../../site-agent/connector/pool.ts";
import { HotRodSite } from "../../site-agent/connector/site.ts";
import { systemClock, systemRandom } from "../../deploy/site/system.ts";
import { JavaClient } from "../support/java-client.ts";
import { MemoryLogger } from "../support/real-time.ts";
import { BenchSites, CACHE } from "./bench-sites.ts";
import { cpuMsOfChildren, median, quantile } from "./machine.ts";
import type { Bench } from "./run.ts";

const VALUE_BYTES = 300;
const WRITERS = 16;
const SCOPE = { cache: CACHE, keyMediaType: PROTOSTREAM, valueMediaType: PROTOSTREAM };

/**
 * The main path between two real Infinispans on this machine, exact expiry, versions and compare-and-set on: mutations a
 * second that arrive at the other site, lag at a paced rate, memory and ledger size for many keys.
 */
export const pipeline: Bench = async ({ quick, only, say }) => {
  await using sites = await BenchSites.start({ heapMib: quick ? 768 : 2_048 });
  const [nyc, lon] = [sites.client(0), sites.client(1)];
  await until("the sites replicate", () => replicates(nyc, lon));
  const parts = {
    throughput: () => measureThroughput(sites, nyc, lon, quick ? 2 : 3, quick ? 5 : 10, say),
    lag: () => measureLag(sites, nyc, quick ? 5 : 15, say),
    size: () => measureSize(sites, nyc, lon, quick ? 100_000 : 1_000_000, say),
  };
  const figures: Record<string, object> = {};
  for (const [part, measure] of Object.entries(parts)) {
    if (only === undefined || only.split(",").includes(part)) figures[part] = await measure();
  }
  nyc.close();
  lon.close();
  return { bench: "pipeline", valueBytes: VALUE_BYTES, writers: WRITERS, ...figures };
};

/** The Java client writes as fast as it can; what counts is what the other Infinispan stored, by its own statistics. */
async function measureThroughput(
  sites: BenchSites,
  nyc: HotRodPool,
  lon: HotRodPool,
  repeats: number,
  seconds: number,
  say: (line: string) => void,
): Promise<object> {
  await using java = await JavaClient.start();
  const client = await java.connect(sites.caches[0].address);
  const cache = client.cache(CACHE);
  const arriving: number[] = [];
  const written: number[] = [];
  for (let i = 0; i <= repeats; i++) {
    const before = await stores(lon);
    const begin = performance.now();
    const cpu = cpuMsOfChildren();
    const load = cache.load({
      threads: WRITERS,
      opsPerSecond: 0,
      keys: 200_000,
      valueBytes: VALUE_BYTES,
      seconds,
      seed: i + 1,
    });
    const { puts, elapsedMs } = await load;
    const inTime = (await stores(lon)) - before;
    const whileWriting = performance.now() - begin;
    // Changes of a cache leave in their order: what was written last arrives last, but for what is applied side by side.
    await arrives(nyc, lon, `end-${i}`);
    const all = performance.now() - begin;
    await settled(lon);
    const total = (await stores(lon)) - before;
    // The first run warms up.
    const what = i === 0 ? "warm-up" : `run ${i}`;
    const rate = (total / all) * 1000;
    say(
      `${what}: ${perSecond(puts, elapsedMs)} written, ${Math.round(rate)}/s arriving ` +
        `(${perSecond(inTime, whileWriting)} while writing; ${puts} writes, ${total} stored at lon, ` +
        `${Math.round(all - elapsedMs)} ms to catch up)`,
    );
    say(`  CPU a mutation: ${cpuEach(cpu, total)}`);
    if (i === 0) continue;
    arriving.push(rate);
    written.push((puts / elapsedMs) * 1000);
  }
  say(`arriving at the other site: median ${Math.round(median(arriving))}/s`);
  return { arrivingPerSecond: arriving, writtenPerSecond: written, median: median(arriving) };
}

/** 2,000 writes a second; lag is from the writer's answer to the event of the other Infinispan. */
async function measureLag(
  sites: BenchSites,
  nyc: HotRodPool,
  seconds: number,
  say: (line: string) => void,
): Promise<object> {
  const rate = 2_000;
  const servers = [{ host: "127.0.0.1", port: sites.caches[1].port }];
  const logger = new MemoryLogger();
  const site = new HotRodSite({ servers, clock: systemClock, random: systemRandom, logger });
  const cache = site.cache(CACHE);
  await cache.open();
  const answered = new Map<string, number>();
  const arrived = new Map<string, number>();
  const listener = await cache.listen(({ key }) => arrived.set(key, performance.now()));
  const value = Buffer.alloc(VALUE_BYTES, 7);
  const begin = performance.now();
  const total = rate * seconds;
  const writer = async (first: number): Promise<void> => {
    for (let i = first; i < total; i += WRITERS) {
      const wait = begin + (i * 1000) / rate - performance.now();
      if (wait > 1) await systemClock.sleep(wait);
      const key = `lag-${i}`;
      const body = { key: Buffer.from(key), value, expiration: expirationOfMs(600_000, 0) };
      await nyc.request("put", SCOPE, body);
      answered.set(key, performance.now());
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, i) => writer(i)));
  const took = performance.now() - begin;
  await until("every write arrived", async () => arrived.size >= total);
  await listener.close();
  await site.close();
  // The first third warms up.
  const lags = [...answered]
    .filter(([key]) => Number(key.slice(4)) >= total / 3)
    .map(([key, at]) => Math.max(0, (arrived.get(key) ?? 0) - at));
  const figures = {
    paced: (total / took) * 1000,
    p50: quantile(lags, 0.5),
    p90: quantile(lags, 0.9),
    p99: quantile(lags, 0.99),
  };
  say(
    `lag at ${Math.round(figures.paced)} writes/s: p50 ${figures.p50.toFixed(1)} ms, ` +
      `p90 ${figures.p90.toFixed(1)} ms, p99 ${figures.p99.toFixed(1)} ms`,
  );
  return figures;
}

/** Private memory of a site's process and bytes of its ledger, with many keys. */
async function measureSize(
  sites: BenchSites,
  nyc: HotRodPool,
  lon: HotRodPool,
  keys: number,
  say: (line: string) => void,
): Promise<object> {
  const value = Buffer.alloc(VALUE_BYTES, 9);
  const nameOf = (i: number) => `${(i * 2_654_435_761) % 4_294_967_296}`.padStart(36, "k");
  const writer = async (first: number): Promise<void> => {
    for (let i = first; i < keys; i += 64) {
      const body = { key: Buffer.from(nameOf(i)), value, expiration: expirationOfMs(0, 0) };
      await nyc.request("put", SCOPE, body);
    }
  };
  await Promise.all(Array.from({ length: 64 }, (_, i) => writer(i)));
  await until("the keys arrived", async () => (await entries(lon)) >= keys, 600_000);
  await settled(lon);
  const figures = ([0, 1] as const).map((site) => {
    const name = site === 0 ? "nyc" : "lon";
    const ledger = statSync(join(sites.folder, name, "data.mdb")).size;
    return { site: name, rssAnon: sites.rssAnon(site), ledger };
  });
  const held = await entries(lon);
  for (const { site, rssAnon, ledger } of figures) {
    say(
      `${site}: ${held} keys of about 36 bytes: ${Math.round(rssAnon / 1e6)} MB private memory, ` +
        `${Math.round(ledger / held - 36)} bytes a key in the ledger beyond the name`,
    );
  }
  return { keys: held, figures };
}

async function arrives(nyc: HotRodPool, lon: HotRodPool, name: string): Promise<void> {
  const key = Buffer.from(name);
  const body = { key, value: Buffer.from(name), expiration: expirationOfMs(0, 0) };
  await nyc.request("put", SCOPE, body);
  await until("the last write arrived", async () => {
    const answer = await lon.request("get", SCOPE, { key });
    return "value" in answer && answer.value !== undefined;
  });
}

async function replicates(nyc: HotRodPool, lon: HotRodPool): Promise<boolean> {
  const key = Buffer.from("probe");
  const value = Buffer.from(String(performance.now()));
  await nyc.request("put", SCOPE, { key, value, expiration: expirationOfMs(0, 0) });
  await systemClock.sleep(200);
  const answer = await lon.request("get", SCOPE, { key });
  return "value" in answer && answer.value !== undefined;
}

async function stat(pool: HotRodPool, name: string): Promise<number> {
  const { stats } = await pool.request("stats", { cache: CACHE }, {});
  return Number(stats.get(name) ?? 0);
}

const stores = (pool: HotRodPool): Promise<number> => stat(pool, "stores");

/** SIZE: the statistics of a clustered cache do not tell. */
async function entries(pool: HotRodPool): Promise<number> {
  return Number((await pool.request("size", { cache: CACHE }, {})).size);
}

/** Resolves when nothing was stored for a while. */
async function settled(pool: HotRodPool): Promise<void> {
  for (let before = -1; ;) {
    const now = await stores(pool);
    if (now === before) return;
    before = now;
    await systemClock.sleep(150);
  }
}

async function until(what: string, isTrue: () => Promise<boolean>, msMax = 120_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`waited ${msMax} ms in vain: ${what}`);
    await systemClock.sleep(20);
  }
}

const perSecond = (count: number, ms: number): string => `${Math.round((count / ms) * 1000)}/s`;

/** What each kind of process used since, us a mutation. */
function cpuEach(before: ReadonlyMap<string, number>, mutations: number): string {
  return [...cpuMsOfChildren()]
    .map(
      ([what, ms]) =>
        `${what} ${Math.round(((ms - (before.get(what) ?? 0)) / mutations) * 1000)} us`,
    )
    .toSorted()
    .join(", ");
}
