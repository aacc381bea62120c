// Goal: whatever two or three sites write while they cannot see each other, they end with the same, and with the winner that
// the cache's policy names. Method: the links between sites with a real Infinispan each (fra: an embedded cache) are cut,
// the Java client writes apart, the links are healed.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { JavaEntry } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const POLICIES = {
  latest: "last-writer-wins",
  earliest: "first-writer-wins",
  ranked: "{ prefer-site: [lon, nyc] }",
  puts: "prefer-put",
  removes: "prefer-remove",
  merged: "{ merge: ./union.mjs }",
} as const;
type Cache = keyof typeof POLICIES;
const CACHES = Object.keys(POLICIES) as Cache[];

/** Sorted words of all values, each once: what a set of tabs or roles would want. */
const UNION = `export default (values) => {
  const words = values.flatMap(({ value }) => Buffer.from(value).toString().split(" "));
  return {
    value: Buffer.from([...new Set(words)].sort().join(" ")),
    expiry: values.at(-1).expiry,
  };
};
`;

const sites = shared(async () => {
  const caches = Object.fromEntries(CACHES.map((name) => [name, {}]));
  const started = await ReplicatedSites.start({
    sites: [{ name: "nyc", caches }, { name: "lon", caches }, { name: "fra" }],
    policies: CACHES.map((name) => `{ match: ${name}, mode: async, conflict: ${POLICIES[name]} }`),
  });
  writeFileSync(join(started.folder, "union.mjs"), UNION);
  await started.run();
  return started;
});

/** The client's operations that write a value: by the version that it reads right before, if they want one. */
type Operation = "put" | "putIfAbsent" | "replace" | "replaceWithVersion";

/** One site's write: a value, by a put unless it says otherwise, or undefined for a remove. In the order in which they are made. */
type Write = readonly [site: string, value: string | undefined, by?: Operation];

/** A key, what each cut-off site does to it, and what each policy shows then. `first` is there before the cut. */
interface Contest {
  readonly name: string;
  readonly first: string | undefined;
  readonly writes: readonly Write[];
  readonly shows: Readonly<Record<Cache, string | undefined>>;
}

const same = (value: string | undefined): Record<Cache, string | undefined> => {
  return {
    latest: value,
    earliest: value,
    ranked: value,
    puts: value,
    removes: value,
    merged: value,
  };
};

const TWO: readonly Contest[] = [
  {
    name: "two puts",
    first: "old",
    writes: [
      ["nyc", "a b"],
      ["lon", "b c"],
    ],
    shows: { ...same("b c"), earliest: "a b", merged: "a b c" },
  },
  {
    name: "two puts, the other way round",
    first: "old",
    writes: [
      ["lon", "b c"],
      ["nyc", "a b"],
    ],
    shows: { ...same("a b"), earliest: "b c", ranked: "b c", merged: "a b c" },
  },
  {
    name: "a put after a remove",
    first: "old",
    writes: [
      ["nyc", undefined],
      ["lon", "new"],
    ],
    shows: { ...same("new"), earliest: undefined, removes: undefined },
  },
  {
    name: "a remove after a put",
    first: "old",
    writes: [
      ["nyc", "new"],
      ["lon", undefined],
    ],
    shows: { ...same(undefined), earliest: "new", puts: "new" },
  },
  {
    name: "equal values",
    first: "old",
    writes: [
      ["nyc", "equal"],
      ["lon", "equal"],
    ],
    shows: same("equal"),
  },
  {
    name: "several writes at each",
    first: "old",
    writes: [
      ["nyc", "a"],
      ["lon", "c"],
      ["nyc", undefined],
      ["nyc", "b"],
      ["lon", "d"],
    ],
    shows: { ...same("d"), earliest: "b", merged: "b d" },
  },
];

const THREE: readonly Contest[] = [
  {
    name: "three puts",
    first: "old",
    writes: [
      ["fra", "c d"],
      ["nyc", "a b"],
      ["lon", "b c"],
    ],
    shows: { ...same("b c"), earliest: "c d", merged: "a b c d" },
  },
  {
    name: "three puts of a new key, each where it was absent",
    first: undefined,
    writes: [
      ["nyc", "a b", "putIfAbsent"],
      ["lon", "b c", "putIfAbsent"],
      ["fra", "c d", "putIfAbsent"],
    ],
    shows: { ...same("c d"), earliest: "a b", ranked: "b c", merged: "a b c d" },
  },
  {
    name: "three replaces, by version, by presence, and by version again",
    first: "old",
    writes: [
      ["lon", "b c", "replaceWithVersion"],
      ["fra", "c d", "replace"],
      ["nyc", "a b", "replaceWithVersion"],
    ],
    shows: { ...same("a b"), earliest: "b c", ranked: "b c", merged: "a b c d" },
  },
  {
    name: "two puts and the latest a remove",
    first: "old",
    writes: [
      ["nyc", "a"],
      ["lon", "b"],
      ["fra", undefined],
    ],
    shows: { ...same(undefined), earliest: "a", ranked: "b", puts: "b" },
  },
  {
    name: "two removes and the latest a put",
    first: "old",
    writes: [
      ["lon", undefined],
      ["nyc", undefined],
      ["fra", "new"],
    ],
    shows: { ...same("new"), earliest: undefined, ranked: undefined, removes: undefined },
  },
];

async function write(cache: Cache, name: string, [site, value, by]: Write): Promise<void> {
  const at = await sites().site(site).cache(cache);
  const key = Buffer.from(name);
  if (value === undefined) await at.remove(key);
  else if (by === "replaceWithVersion") {
    const version = (await at.getWithMetadata(key))?.version ?? 0n;
    expect(await at.replaceWithVersion(key, Buffer.from(value), version)).toBe(true);
  } else await at[by ?? "put"](key, Buffer.from(value));
}

/** Plays every contest in every cache with the links cut, heals them, and returns what all sites then show. */
async function play(contests: readonly Contest[]): Promise<Map<Cache, Map<string, JavaEntry>>> {
  for (const cache of CACHES)
    for (const { name, first } of contests)
      if (first !== undefined) await write(cache, name, ["nyc", first]);
  for (const cache of CACHES) await sites().level(cache);
  sites().cut();
  const steps = Math.max(...contests.map(({ writes }) => writes.length));
  for (let step = 0; step < steps; step++) {
    for (const { name, writes } of contests) {
      const next = writes[step];
      if (next === undefined) continue;
      for (const cache of CACHES) await write(cache, name, next);
    }
    // Each write has its own version, and a later step a later time, only once the earlier is captured.
    for (const cache of CACHES) await captured(cache);
  }
  sites().heal();
  const shown = new Map<Cache, Map<string, JavaEntry>>();
  for (const cache of CACHES) shown.set(cache, await sites().level(cache, { timeoutMs: 60_000 }));
  return shown;
}

async function captured(cache: Cache): Promise<void> {
  await until("what was written is captured and in the log", async () =>
    sites().all.every((site) => {
      const { agent } = site.handled(cache);
      return agent !== undefined && agent.dirty === 0 && agent.outboxRows === 0;
    }),
  );
}

function expectWinners(
  contests: readonly Contest[],
  shown: ReadonlyMap<Cache, ReadonlyMap<string, JavaEntry>>,
): void {
  for (const { name, shows } of contests) {
    const found = CACHES.map((cache) => {
      const entry = shown.get(cache)?.get(Buffer.from(name).toString("hex"));
      return [cache, entry?.value.toString()];
    });
    expect(Object.fromEntries(found), name).toEqual(shows);
  }
}

describe("writes at sites that cannot see each other", () => {
  it("end with the winner of every policy at all sites, after two of them wrote (I2)", async () => {
    expectWinners(TWO, await play(TWO));
  });

  it("end with the winner of every policy at all sites, after three of them wrote (I2)", async () => {
    expectWinners(THREE, await play(THREE));
  });

  it("are decided anew, at all sites, when the file names other policies, and nothing is sent for it (I2, I4)", async () => {
    /** Each cache gets the policy of the next one. */
    const next = (cache: Cache): Cache =>
      CACHES[(CACHES.indexOf(cache) + 1) % CACHES.length] ?? cache;
    const policies = (of: (cache: Cache) => Cache): string[] =>
      CACHES.map((name) => `{ match: ${name}, mode: async, conflict: ${POLICIES[of(name)]} }`);
    for (const of of [next, (cache: Cache) => cache]) {
      await sites().stop();
      await sites().run(policies(of));
      const shown = new Map<Cache, Map<string, JavaEntry>>();
      for (const cache of CACHES) shown.set(cache, await sites().level(cache));
      const contests = [...TWO, ...THREE].map(({ shows, ...contest }) => {
        const now = CACHES.map((cache) => [cache, shows[of(cache)]] as const);
        return { ...contest, shows: Object.fromEntries(now) as Record<Cache, string | undefined> };
      });
      expectWinners(contests, shown);
      for (const { site } of sites().all)
        for (const { agent } of site.caches.values())
          expect(agent?.stats.publishedMutations).toBe(0);
    }
  });

  it("are superseded by a write that had seen them, whatever the policy (I3)", async () => {
    for (const cache of CACHES) {
      await write(cache, "two puts", ["fra", "after all"]);
      await write(cache, "three puts", ["lon", undefined]);
      const found = await sites().level(cache);
      const value = (name: string) =>
        found.get(Buffer.from(name).toString("hex"))?.value.toString();
      expect([value("two puts"), value("three puts")], cache).toEqual(["after all", undefined]);
    }
  });
});
