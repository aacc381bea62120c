import { systemClock } from "../../deploy/site/system.ts";
import {
  JavaClient,
  type JavaCache,
  type JavaLoad,
  type JavaLoadResult,
} from "../support/java-client.ts";
import { BenchSites, CACHE } from "./bench-sites.ts";
import { median } from "./machine.ts";
import type { Bench } from "./run.ts";

const KEYS = 10_000;
const VALUE_BYTES = 300;
const THREADS = 16;
const PACED_READS = 10_000;
const HELD_WRITES = 1_000;
/** Writers wait for a round trip each: so many keep the pace, and some more. */
const HELD_THREADS = 128;
const LINK_MS = 25;

/**
 * What the front door costs: reads through it beside reads of the same Infinispan directly, in turn and by the same Java
 * client, paced and as fast as they go; and how long held writes take over a link of 50 ms a round trip.
 */
export const frontDoor: Bench = async ({ quick, only, say }) => {
  const parts = {
    reads: () => measureReads(quick ? 3 : 7, quick ? 4 : 8, say),
    held: () => measureHeld(quick ? 2 : 4, quick ? 8 : 20, say),
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
  });
  await using java = await JavaClient.start();
  const through = await opened(java, sites.door(0));
  const runs: JavaLoadResult[] = [];
  for (let i = 0; i <= repeats; i++) {
    const load = { threads: HELD_THREADS, opsPerSecond: HELD_WRITES, keys: KEYS, seconds, seed: i };
    const run = await through.load({ ...load, valueBytes: VALUE_BYTES });
    if (run.failures > 0) throw new Error(`held writes failed: ${run.firstFailure}`);
    const { p50, p90, p99, max } = run.latencyUs;
    const inMs = [p50, p90, p99, max].map((us) => (us / 1_000).toFixed(1)).join(", ");
    say(
      `held writes over ${2 * LINK_MS} ms a round trip, ${i === 0 ? "warm-up" : `run ${i}`}: ` +
        `${Math.round(perSecond(run))}/s, p50, p90, p99, max ${inMs} ms`,
    );
    if (i > 0) runs.push(run);
  }
  const [p50, p99] = (["p50", "p99"] as const).map((q) => median(runs.map((r) => r.latencyUs[q])));
  const beyond = { p50: (p50 ?? 0) / 1_000 - 2 * LINK_MS, p99: (p99 ?? 0) / 1_000 - 2 * LINK_MS };
  say(
    `held writes: beyond the round trip ${beyond.p50.toFixed(1)} ms at p50, ${beyond.p99.toFixed(1)} ms at p99`,
  );
  return { roundTripMs: 2 * LINK_MS, beyondMs: beyond, runs };
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
