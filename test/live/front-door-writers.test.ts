// Goal: writers of every kind at both sites, on the same keys, through the front doors of both, end with the same keys and
// values at both sites; and a single-use key is taken once. Method: two sites with a real Infinispan and a front door each, Infinispan's own Java client with many
// threads at both, drawn from a seed; ISTHMUS_WRITER_SEEDS says how many seeds (1 by default, 20 for the full run).
import { describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import type { JavaConnection } from "../support/java-client.ts";
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
  const caches = { sessions: {}, codes: {}, tokens: {} };
  const [nyc, lon] = doors.map((frontDoorPort) => ({ caches, frontDoorPort }));
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", ...nyc },
      { name: "lon", ...lon },
    ],
    policies: [
      "{ match: sessions, mode: sync, timeout: 5s }",
      "{ match: codes, mode: sync, timeout: 5s, onTimeout: fail, singleUse: home }",
      "{ match: tokens, mode: sync, timeout: 500ms, onTimeout: degrade, singleUse: home }",
    ],
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

/** Connections of the Java client to the front doors of nyc and lon. */
const throughBoth = (): Promise<JavaConnection[]> =>
  Promise.all(
    doors.map((port) =>
      sites().java.connect(`127.0.0.1:${port}`, { socketTimeoutMs: 20_000, maxRetries: 0 }),
    ),
  );

describe("single-use keys, taken through the front doors of both sites", () => {
  it("are taken once each, at their home or not, by clients of both sites at the same time", async () => {
    const [nyc, lon] = await throughBoth();
    const count = 1_000;
    for (const [through, prefix] of [
      [nyc, "of-nyc-"],
      [lon, "of-lon-"],
    ] as const) {
      const cache = through?.cache("codes");
      for (let n = 0; n < count; n += 100)
        await cache?.putAll(
          Array.from({ length: 100 }, (_, i) => [
            Buffer.from(`${prefix}${n + i}`),
            Buffer.from("v"),
          ]),
        );
    }
    for (const prefix of ["of-nyc-", "of-lon-"]) {
      // From both ends: either has some for itself, and tries those of the other one too.
      const results = await Promise.all(
        [nyc, lon].map(async (through, i) =>
          through?.cache("codes").takeAll(prefix, count, 8, i === 0 ? "up" : "down"),
        ),
      );
      expect(results.map((each) => [each?.failures, each?.firstFailure])).toEqual([
        [0, undefined],
        [0, undefined],
      ]);
      const taken = results.flatMap((each) => each?.taken ?? []);
      expect(taken.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      // Both sites had some: they did try at the same time.
      for (const each of results) expect(each?.taken.length).toBeGreaterThan(count / 100);
    }
    expect((await sites().level("codes")).size).toBe(0);
  }, 60_000);

  it("are refused under fail, and taken under degrade, when their home cannot be reached", async () => {
    const [nyc, lon] = await throughBoth();
    const key = Buffer.from("apart");
    for (const cache of ["codes", "tokens"]) await nyc?.cache(cache).put(key, Buffer.from("v"));
    sites().cut();
    const forced = ["FORCE_RETURN_VALUE"] as const;
    try {
      const take = (cache: string) => lon?.cache(cache, undefined, [...forced]).remove(key);
      await expect(take("codes")).rejects.toThrow(
        /isthmus: nyc, where the key was written, cannot be asked whether it was used/,
      );
      expect((await take("tokens"))?.toString()).toBe("v");
      const { singleUse } = sites().site("lon").handled("tokens");
      expect(singleUse?.stats).toMatchObject({ unasked: 1, refused: 0 });
    } finally {
      sites().heal();
    }
    await sites().level("tokens");
    expect((await lon?.cache("codes", undefined, [...forced]).remove(key))?.toString()).toBe("v");
  }, 60_000);
});
