// Goal: writers of every kind at both sites, on the same keys, through the front doors of both, end with the same keys and
// values at both sites. Method: two sites with a real Infinispan and a front door each, Infinispan's own Java client with many
// threads at both, drawn from a seed; ISTHMUS_WRITER_SEEDS says how many seeds (1 by default, 20 for the full run).
import { describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const OPERATIONS = 20_000;
const KEYS = 300;
const THREADS = 12;
const SEEDS = Number(process.env["ISTHMUS_WRITER_SEEDS"] ?? 1);
/** Of one seed, in ms. */
const SEED_MS_MAX = 240_000;

let doors: number[] = [];

const sites = shared(async () => {
  doors = await freePorts(2);
  const caches = { sessions: {} };
  const [nyc, lon] = doors.map((frontDoorPort) => ({ caches, frontDoorPort }));
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", ...nyc },
      { name: "lon", ...lon },
    ],
    policies: ["{ match: sessions, mode: sync, timeout: 5s }"],
  });
  await started.run();
  await until("both front doors are open", async () =>
    started.all.every(({ site }) => site.frontDoor !== undefined),
  );
  return started;
});

describe("random writers at both sites, through the front doors of both, under sync", () => {
  it.each(Array.from({ length: SEEDS }, (_, i) => i + 1))(
    `leave no key of ${KEYS} that differs after ${OPERATIONS} operations, seed %i (I2)`,
    async (seed) => {
      const before = sites().all.map(({ site }) => ({
        ...site.caches.get("sessions")?.hold?.stats,
      }));
      const results = await Promise.all(
        doors.map(async (port, i) => {
          const connection = await sites().java.connect(`127.0.0.1:${port}`, {
            socketTimeoutMs: 20_000,
          });
          const writes = { operations: OPERATIONS / 2, keys: KEYS, threads: THREADS };
          const cache = connection.cache("sessions");
          const done = await cache.mixedWrites({
            ...writes,
            seed: seed * 2 + i,
            prefix: `${seed}-${i}-`,
          });
          await connection.close();
          return done;
        }),
      );
      const entries = await sites().level("sessions");
      for (const { failures, firstFailure, kinds } of results) {
        expect([failures, firstFailure]).toEqual([0, undefined]);
        // Each kind has changed something: conditions failed now and then, and not always.
        for (const [kind, { done, tried }] of kinds)
          expect([kind, done > 0 && tried > OPERATIONS / 40]).toEqual([kind, true]);
        expect(kinds.size).toBe(8);
      }
      expect(entries.size).toBeGreaterThan(KEYS / 4);
      for (const [i, { site }] of sites().all.entries()) {
        const stats = site.caches.get("sessions")?.hold?.stats;
        expect(stats).toMatchObject({ degraded: 0, failed: 0 });
        expect(stats?.confirmed ?? 0).toBeGreaterThan((before[i]?.confirmed ?? 0) + OPERATIONS / 8);
      }
      const ms = results.map(({ elapsedMs }) => elapsedMs).join(" and ");
      process.stdout.write(`seed ${seed}: ${entries.size} keys equal, 0 differ, ${ms} ms\n`);
    },
    SEED_MS_MAX,
  );
});
