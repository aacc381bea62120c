import { describe, expect, it } from "vitest";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import type { ResponseBodies, Topology } from "../../topology/hotrod/messages.ts";
import { Intelligence } from "../../topology/hotrod/opcodes.ts";
import { requestHeader } from "../../topology/hotrod/request.ts";
import { FrameClient } from "../support/frame-client.ts";
import { JavaClient } from "../support/java-client.ts";
import { shared } from "../support/server-provider.ts";

// Behaviour of Infinispan 16.0.7 that the site agent relies on and that no document states.

const OCTETS = "application/octet-stream";
const TOPOLOGY_NONE = 0xffffffff;

const server = shared(() =>
  InfinispanServer.start({
    name: "facts",
    caches: {
      bin: { mediaType: OCTETS, expirationIntervalMs: 300 },
      plain: { mediaType: OCTETS, statistics: false },
      multi: { mediaType: OCTETS },
    },
  }),
);

async function topologyId(port: number, cache: string): Promise<number | undefined> {
  await using client = await FrameClient.connect(port);
  const given = { intelligence: Intelligence.TopologyAware, topologyId: TOPOLOGY_NONE };
  const answers = await client.ask({
    op: "ping",
    header: requestHeader({ id: 1, cache, ...given }),
  });
  const header = answers[0]?.header as { topology?: Topology } | undefined;
  return header?.topology?.id;
}

async function secondsSinceStart(port: number, cache: string): Promise<number> {
  await using client = await FrameClient.connect(port);
  const answers = await client.ask({ op: "stats", header: requestHeader({ id: 1, cache }) });
  return Number((answers[0] as unknown as ResponseBodies["stats"]).stats.get("timeSinceStart"));
}

describe("an entry with a max-idle", () => {
  it("is kept alive by GET_WITH_METADATA but not by iteration", async () => {
    await using java = await JavaClient.start();
    const cache = (await java.connect(server().address)).cache("bin", OCTETS);
    const [touched, iterated] = [Buffer.from("touched"), Buffer.from("iterated")];
    // The one that is read is the older, so it would be the first to go.
    await cache.put(touched, touched, { lifespanMs: -1, maxIdleMs: 3000 });
    await cache.put(iterated, iterated, { lifespanMs: -1, maxIdleMs: 3000 });
    const first = await cache.getWithMetadata(touched);
    const look = async () => {
      await cache.getWithMetadata(touched);
      return [...(await cache.entries()).keys()];
    };
    const survivors = expect.poll(look, { interval: 300, timeout: 20_000 });
    await survivors.toEqual([touched.toString("hex")]);
    const last = await cache.getWithMetadata(touched);
    expect((last?.lastUsed ?? 0) - (first?.lastUsed ?? 0)).toBeGreaterThan(2500);
  });

  it("tells a read's own touch as the last use, and is touched by refused conditional writes but not by SIZE", async () => {
    await using java = await JavaClient.start();
    const cache = (await java.connect(server().address)).cache("bin", OCTETS);
    const key = Buffer.from("looked at");
    const forAMinute = { lifespanMs: -1, maxIdleMs: 60_000 };
    const lastUsed = async () => (await cache.entries()).get(key.toString("hex"))?.lastUsed ?? 0;
    /** Whether the last use moved by at least half a second, once that much has passed. */
    const touches = async (look: () => Promise<unknown>): Promise<boolean> => {
      const before = await lastUsed();
      await expect.poll(() => Date.now(), { interval: 50 }).toBeGreaterThan(before + 600);
      await look();
      return (await lastUsed()) - before > 500;
    };
    await cache.put(key, key, forAMinute);
    expect(await touches(() => cache.size())).toBe(false);
    expect(await touches(() => cache.putIfAbsent(key, key, forAMinute))).toBe(true);
    expect(await touches(() => cache.replaceWithVersion(key, key, 7n, forAMinute))).toBe(true);
    expect(await touches(() => cache.removeWithVersion(key, 7n))).toBe(true);
    let told = 0;
    const read = async () => (told = (await cache.getWithMetadata(key))?.lastUsed ?? 0);
    expect(await touches(read)).toBe(true);
    expect(await lastUsed()).toBe(told);
  });
});

describe("a write over REST", () => {
  it("draws no entry version: a new entry has none, one that a Hot Rod client wrote keeps its own", async () => {
    await using java = await JavaClient.start();
    const { address } = server();
    const cache = (await java.connect(address)).cache("plain", OCTETS);
    const key = Buffer.from("over-rest");
    const put = async (text: string): Promise<void> => {
      const url = `http://${address}/rest/v2/caches/plain/over-rest`;
      const headers = { "Content-Type": OCTETS, "Key-Content-Type": "text/plain" };
      expect((await fetch(url, { method: "PUT", headers, body: text })).status).toBe(204);
    };
    await put("made over REST");
    expect((await cache.getWithMetadata(key))?.version).toBe(0n);
    await cache.put(key, Buffer.from("by Hot Rod"));
    const before = await cache.getWithMetadata(key);
    await put("over REST");
    const after = await cache.getWithMetadata(key);
    expect(after?.value.toString()).toBe("over REST");
    expect(after?.version).toBe(before?.version);
    expect(before?.version).not.toBe(0n);
  });
});

describe("a multimap", () => {
  it("keeps objects that no client reads as bytes, whatever the cache stores: GET and iteration fail", async () => {
    await using java = await JavaClient.start();
    const connection = await java.connect(server().address);
    const cache = connection.cache("multi", OCTETS);
    await cache.put(Buffer.from("plain"), Buffer.from("value"));
    const key = Buffer.from("many");
    await cache.multimapPut(key, Buffer.from("one"));
    await cache.multimapPut(key, Buffer.from("two"));
    const texts = (await cache.multimapGet(key)).map(String).sort();
    expect(texts).toEqual(["one", "two"]);
    await expect(cache.getWithMetadata(key)).rejects.toThrow(/Bucket/);
    await expect(cache.entries()).rejects.toThrow(/Bucket/);
    expect(await cache.get(Buffer.from("plain"))).toEqual(Buffer.from("value"));
  });
});

describe("a restart of the only node", () => {
  it("shows in the topology's id, and in STATS only where the cache keeps statistics", async () => {
    const { port } = server();
    const before = [await topologyId(port, "bin"), await topologyId(port, "plain")];
    expect(await secondsSinceStart(port, "plain")).toBe(-1);
    await expect.poll(() => secondsSinceStart(port, "bin"), { timeout: 10_000 }).toBeGreaterThan(2);
    const uptime = await secondsSinceStart(port, "bin");
    const asked = performance.now();
    await server().kill();
    await server().run();
    // Without a restart it would be the sum; the server counts whole seconds.
    const unbroken = uptime + (performance.now() - asked) / 1000;
    expect(await secondsSinceStart(port, "bin")).toBeLessThan(unbroken - 2);
    expect(await secondsSinceStart(port, "plain")).toBe(-1);
    const after = [await topologyId(port, "bin"), await topologyId(port, "plain")];
    expect(before.every((id) => typeof id === "number")).toBe(true);
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
  });
});
