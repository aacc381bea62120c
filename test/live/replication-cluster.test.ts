// Goal: a cluster is replicated whichever node its clients ask, and one that loses a node, whichever node the listener uses, loses no write.
// Method: two sites, lon with an Infinispan cluster of two nodes that are killed one after the other under the Java client's
// load, nyc with an embedded cache; what the test remembers of acknowledged writes decides.
import { describe, expect, it } from "vitest";
import { AcknowledgedWriter, unacknowledged } from "../support/acknowledged-writer.ts";
import { JavaClient } from "../support/java-client.ts";
import type { JavaCache } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";
import type { ReplicatedSite } from "../support/replicated-site.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import type { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import type { ServerRuns } from "../../topology/ports.ts";
import { shared } from "../support/server-provider.ts";

const CACHE = "sessions";
const LOAD = { ownKeys: 200, sharedKeys: 30, shared: 0.2, removes: 0.05, pauseMs: 10 };

const sites = shared(async () => {
  const started = await ReplicatedSites.start({
    sites: [{ name: "nyc" }, { name: "lon", caches: { [CACHE]: {} }, nodes: 2 }],
    policies: [`{ match: ${CACHE}, mode: async }`],
  });
  await started.run();
  return started;
});

describe("a cluster of two nodes", () => {
  it("sends what either node was asked to write, whichever owns the key, and shows at both what comes (I2, I4)", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    // Such a client asks the one node that it was told of, not the owner.
    const nodes: JavaCache[] = [];
    for (const { address } of lon.nodes) {
      const connection = await sites().java.connect(address, { intelligence: "BASIC" });
      nodes.push(connection.cache(CACHE));
    }
    const keys = Array.from({ length: 40 }, (_, i) => Buffer.from(`anywhere-${i}`));
    const nodeOf = (i: number): JavaCache => nodes[i % nodes.length] as JavaCache;
    const before = nyc.handled(CACHE).agent?.stats.publishedMutations;
    for (const [i, key] of keys.entries()) await nodeOf(i).put(key, Buffer.from("put"));
    await sites().level(CACHE);
    for (const [i, key] of keys.entries())
      await nodeOf(i + 1).replace(key, Buffer.from("replaced"));
    const found = await sites().level(CACHE);
    for (const key of keys) {
      expect(found.get(key.toString("hex"))?.value.toString()).toBe("replaced");
    }
    expect(nyc.handled(CACHE).agent?.stats.publishedMutations).toBe(before);
    const atNyc = await nyc.cache(CACHE);
    for (const key of keys) await atNyc.put(key, Buffer.from("from nyc"));
    await sites().level(CACHE);
    for (const node of nodes)
      for (const key of keys) expect((await node.get(key))?.toString()).toBe("from nyc");
    for (const [i, key] of keys.entries()) await nodeOf(i).remove(key);
    expect((await sites().level(CACHE)).size).toBe(0);
  });
});

describe("a cluster that loses a node", () => {
  it("falls into a gap which is told and repaired, and neither loses a write nor brings a delete back (I1, I3, I7)", async () => {
    const lon = sites().site("lon");
    await using java = await JavaClient.start(128);
    const writers: AcknowledgedWriter[] = [];
    const addresses = {
      nyc: `127.0.0.1:${sites().site("nyc").embeddedPort}`,
      lon: lon.nodes.map((node) => node.address).join(","),
    };
    for (const [name, address] of Object.entries(addresses)) {
      const connection = await java.connect(address);
      writers.push(new AcknowledgedWriter(name, connection.cache(CACHE), LOAD));
    }
    const atNyc = await sites().site("nyc").cache(CACHE);
    const doomed = lon.nodes.map((node) =>
      Array.from({ length: 40 }, (_, i) => Buffer.from(`doomed with ${node.address} ${i}`)),
    );
    for (const key of doomed.flat()) await atNyc.put(key, Buffer.from("until a node dies"));
    await sites().level(CACHE);
    for (const writer of writers) writer.start();
    for (const [n, node] of lon.nodes.entries()) {
      await wrote(writers, 100);
      const other = lon.nodes[1 - n] as InfinispanServer;
      const direct = await java.connect(other.address, { intelligence: "BASIC" });
      await node.kill();
      // Nobody may hear of these: the listener was at the node that died, or it was not.
      const removed = (doomed[n] ?? []).map((key) => direct.cache(CACHE).remove(key));
      await Promise.all(removed);
      await wrote(writers, 100);
      await until(
        "the cache is live again",
        async () => {
          const agent = lon.handled(CACHE).agent;
          return agent?.state === "live" && agent.gap === undefined;
        },
        60_000,
      );
      const before = knownRuns(lon).get(node.address);
      await node.run();
      await rebalanced(lon.nodes);
      await until("the run of the node that came back is known", async () => {
        const now = knownRuns(lon).get(node.address);
        return now !== undefined && now !== before;
      });
    }
    await wrote(writers, 50);
    for (const writer of writers) await writer.stop();
    const found = await sites().level(CACHE, { timeoutMs: 60_000 });
    expect(unacknowledged(found, writers)).toEqual([]);
    const names = [...found.keys()].map((key) => Buffer.from(key, "hex").toString());
    expect(names.filter((name) => name.startsWith("doomed"))).toEqual([]);
    expect(found.size).toBeGreaterThan(200);
    const reasons = lon.logger.lines
      .filter(({ message }) => message.startsWith("gap closed"))
      .map(({ fields }) => String((fields as { reason?: string }).reason));
    expect(reasons.some((reason) => reason.startsWith("listener lost"))).toBe(true);
  }, 300_000);
});

/** The runs of the servers that the site counts as those of the cache it knows. */
function knownRuns({ site }: ReplicatedSite): ServerRuns {
  return (site.ports.ledger.fact(`runs/${CACHE}`) ?? new Map()) as ServerRuns;
}

/** Waits until both nodes have every entry: the death of one before that would lose entries for good, in Infinispan itself. */
async function rebalanced(nodes: readonly InfinispanServer[]): Promise<void> {
  const finished = new RegExp(
    `Context=${CACHE}\\].*Finished rebalance with members \\[lon\\d, lon\\d\\]`,
  );
  await until(
    "the cluster is whole again",
    async () =>
      nodes.some(({ process }) => {
        const log = process.log();
        const view = log.lastIndexOf("cluster view");
        return finished.test(log.slice(view)) && /\(2\) \[/.test(log.slice(view, view + 200));
      }),
    90_000,
  );
}

async function wrote(writers: readonly AcknowledgedWriter[], count: number): Promise<void> {
  const ends = writers.map((writer) => [writer, writer.writes + count] as const);
  await until(
    "the writers wrote",
    async () => ends.every(([writer, end]) => writer.writes >= end),
    90_000,
  );
}
