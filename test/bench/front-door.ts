import { systemClock } from "../../deploy/site/system.ts";
import {
  JavaClient,
  type JavaCache,
  type JavaLoad,
  type JavaLoadResult,
} from "../support/java-client.ts";
import { BACKED_UP, BenchSites, CACHE } from "./bench-sites.ts";
import { median } from "./machine.ts";
import { roundTripOf } from "./slow-link.ts";
import type { Bench } from "./run.ts";

const KEYS = 10_000;
const VALUE_BYTES = 300;
const THREADS = 16;
const PACED_READS = 10_000;
const HELD_WRITES = 1_000;
/** Writers wait for a round trip each: so many keep the pace, and some more. */
const HELD_THREADS = 128;
const LINK_MS = 25;
/** Until the servers have compiled what they run often: before that a write costs them several times as much. */
const WARM_UP_RUNS = 4;

/**
 * What the front door costs: reads through it beside reads of the same Infinispan directly, in turn and by the same Java
 * client, paced and as fast as they go; and how long held writes take over a link of 50 ms a round trip, beside Infinispan's
 * own SYNC backup to the other site over a link as long, on the same servers in turn.
 */
export const frontDoor: Bench = async ({ quick, only, say }) => {
  const parts = {
    reads: () => measureReads(quick ? 3 : 5, quick ? 4 : 8, say),
    held: () => measureHeld(quick ? 3 : 4, quick ? 8 : 15, say),
  };
  const figures: Record<string, object> = {};
  for (const [part, measure] of Object.entries(parts))
    if (only === undefined || only.split(",").includes(part)) figures[part] = await measure();
  return { bench: "front-door", valueBytes: VALUE_BYTES, ...figures };
};

const perSecond = ({ puts, reads, elapsedMs }: JavaLoadResult): number =>
  ((puts + reads) / elapsedMs) * 1_000;

async function measureReads(
  repeats: number,
  seconds: number,
  say: (line: string) => void,
): Promise<object> {
  await using sites = await BenchSites.start({
    heapMib: 768,
    rule: "mode: sync",
    frontDoors: true,
  });
  await using java = await JavaClient.start();
  const direct = (await java.connect(sites.caches[0].address)).cache(CACHE);
  const through = await opened(java, sites.door(0));
  const fill = { threads: THREADS, opsPerSecond: 2_000, keys: KEYS, valueBytes: VALUE_BYTES };
  await direct.load({ ...fill, seconds: 6 });
  const reads = { threads: THREADS, keys: KEYS, valueBytes: VALUE_BYTES, readPercent: 100 };
  const figures: Record<string, object> = {};
  for (const [name, opsPerSecond] of [
    ["paced", PACED_READS],
    ["saturated", 0],
  ] as const) {
    const ratios: number[] = [];
    const more: number[] = [];
    for (let i = 0; i <= repeats; i++) {
      const load: JavaLoad = { ...reads, opsPerSecond, seconds, seed: i };
      // Which of both is first changes, so that what drifts meets both.
      const inTurn = i % 2 === 0 ? [direct, through] : [through, direct];
      const results = new Map<JavaCache, JavaLoadResult>();
      for (const cache of inTurn) results.set(cache, await cache.load(load));
      const [by, via] = [results.get(direct), results.get(through)];
      if (by === undefined || via === undefined || by.failures + via.failures > 0)
        throw new Error(`reads failed: ${by?.firstFailure ?? via?.firstFailure}`);
      const moreMs = (via.latencyUs.p50 - by.latencyUs.p50) / 1_000;
      const ratio = perSecond(via) / perSecond(by);
      say(
        `${name} reads, ${i === 0 ? "warm-up" : `pair ${i}`}: ${Math.round(perSecond(by))}/s and ` +
          `${Math.round(perSecond(via))}/s through the door (${(ratio * 100).toFixed(1)} %), p50 ` +
          `${(by.latencyUs.p50 / 1_000).toFixed(2)} and ${(via.latencyUs.p50 / 1_000).toFixed(2)} ms`,
      );
      if (i === 0) continue;
      ratios.push(ratio);
      more.push(moreMs);
    }
    say(
      `${name} reads through the door: median ${(median(ratios) * 100).toFixed(1)} % of the throughput, ` +
        `${median(more).toFixed(2)} ms more at p50`,
    );
    figures[name] = { ratios, ratio: median(ratios), moreP50Ms: median(more) };
  }
  return figures;
}

/** How long writers wait that hold: through the door, and where Infinispan itself copies to the other site before it answers. */
async function measureHeld(
  repeats: number,
  seconds: number,
  say: (line: string) => void,
): Promise<object> {
  await using sites = await BenchSites.start({
    heapMib: 768,
    rule: "mode: sync, timeout: 5s, onTimeout: fail",
    frontDoors: true,
    linkMs: LINK_MS,
    crossSite: true,
  });
  const link = await roundTripOf(LINK_MS, sites.folder);
  say(`the link itself, there and back: p50 ${link.p50.toFixed(1)}, p99 ${link.p99.toFixed(1)} ms`);
  await using java = await JavaClient.start();
  const caches: Readonly<Record<string, JavaCache>> = {
    "held by the front door": await opened(java, sites.door(0)),
    "backed up by Infinispan": await backedUp(java, sites),
  };
  const runs = new Map<string, JavaLoadResult[]>();
  for (let i = 1 - WARM_UP_RUNS; i <= repeats; i++) {
    const load = { threads: HELD_THREADS, opsPerSecond: HELD_WRITES, keys: KEYS, seconds, seed: i };
    const inTurn = Object.entries(caches);
    if (i % 2 !== 0) inTurn.reverse();
    for (const [name, cache] of inTurn) {
      const run = await cache.load({ ...load, valueBytes: VALUE_BYTES });
      if (run.failures > 0) throw new Error(`writes failed: ${run.firstFailure}`);
      const { p50, p90, p99, max } = run.latencyUs;
      const inMs = [p50, p90, p99, max].map((us) => (us / 1_000).toFixed(1)).join(", ");
      say(
        `writes ${name}, ${i <= 0 ? "warm-up" : `run ${i}`}: ` +
          `${Math.round(perSecond(run))}/s, p50, p90, p99, max ${inMs} ms`,
      );
      if (i > 0) runs.set(name, [...(runs.get(name) ?? []), run]);
    }
  }
  const figures: Record<string, object> = {};
  for (const [name, ofCache] of runs) {
    const beyond = (q: "p50" | "p99") =>
      median(ofCache.map((run) => run.latencyUs[q])) / 1_000 - 2 * LINK_MS;
    const beyondMs = { p50: beyond("p50"), p99: beyond("p99") };
    figures[name] = { beyondMs, runs: ofCache };
    say(
      `writes ${name}: median of ${ofCache.length}, beyond the round trip of ${2 * LINK_MS} ms: ` +
        `${beyondMs.p50.toFixed(1)} ms at p50, ${beyondMs.p99.toFixed(1)} ms at p99`,
    );
  }
  return { roundTripMs: 2 * LINK_MS, link, ...figures };
}

/** The cache that Infinispan copies by itself: its writes fail until the sites have found each other. */
async function backedUp(java: JavaClient, sites: BenchSites): Promise<JavaCache> {
  const [here, there] = await Promise.all(
    sites.caches.map(async ({ address }) => (await java.connect(address)).cache(BACKED_UP)),
  );
  if (here === undefined || there === undefined) throw new Error("no Infinispan");
  const deadline = performance.now() + 90_000;
  const probe = Buffer.from("probe");
  for (;;) {
    try {
      await here.put(probe, probe);
      if ((await there.get(probe)) !== undefined) return here;
      throw new Error("Infinispan answered a write that its other site does not have");
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await systemClock.sleep(500);
  }
}

/** A connection through a front door that holds: the first writes may come before the sites know each other. */
async function opened(java: JavaClient, door: string): Promise<JavaCache> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      const cache = (await java.connect(door, { socketTimeoutMs: 20_000 })).cache(CACHE);
      const probe = Buffer.from("probe");
      const began = performance.now();
      await cache.put(probe, probe);
      if (performance.now() - began < 1_000) return cache;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await systemClock.sleep(200);
  }
}
