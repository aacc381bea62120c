import { describe, expect, it } from "vitest";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import { JavaClient } from "../support/java-client.ts";
import { shared } from "../support/server-provider.ts";

const OCTETS = "application/octet-stream";
const PROTOSTREAM = "application/x-protostream";
const caches = { bin: { mediaType: OCTETS }, proto: { mediaType: PROTOSTREAM } };

// What a transcoder would stumble over: zero, invalid UTF-8, the tags of a protobuf message.
const KEY = Buffer.from("6b00ff31", "hex");
const VALUE = Buffer.from("768001004a0b0affc3", "hex");

describe("a real Infinispan server and the Java client", () => {
  const server = shared(() => InfinispanServer.start({ name: "alone", caches }));
  const java = shared(() => JavaClient.start());

  for (const [name, mediaType] of Object.entries({ bin: OCTETS, proto: PROTOSTREAM })) {
    it(`pass bytes unchanged through a cache of ${mediaType}`, async () => {
      const connection = await java().connect(server().address);
      const cache = connection.cache(name, mediaType);
      await cache.put(KEY, VALUE);
      expect(await cache.get(KEY)).toEqual(VALUE);
      await cache.putAll([
        [Buffer.from("a"), Buffer.alloc(0)],
        [Buffer.from("b"), VALUE],
      ]);
      const entries = await cache.entries();
      expect([...entries.keys()].sort()).toEqual(["6b00ff31", "61", "62"].sort());
      expect(entries.get("61")?.value).toEqual(Buffer.alloc(0));
      expect(await cache.size()).toBe(3);
      await cache.clear();
      expect(await cache.size()).toBe(0);
      await connection.close();
    });
  }

  it("agree on conditional writes by version", async () => {
    const connection = await java().connect(server().address);
    const cache = connection.cache("bin", OCTETS, ["FORCE_RETURN_VALUE"]);
    expect(await cache.putIfAbsent(KEY, VALUE, { lifespanMs: 60_000 })).toBeUndefined();
    expect(await cache.putIfAbsent(KEY, KEY)).toEqual(VALUE);
    const found = await cache.getWithMetadata(KEY);
    expect(found).toMatchObject({ value: VALUE, lifespanS: 60, maxIdleS: -1 });
    const version = found?.version ?? 0n;
    expect(await cache.replaceWithVersion(KEY, KEY, version + 1n)).toBe(false);
    expect(await cache.replaceWithVersion(KEY, KEY, version)).toBe(true);
    expect(await cache.removeWithVersion(KEY, version)).toBe(false);
    expect(await cache.replace(KEY, VALUE)).toEqual(KEY);
    expect(await cache.remove(KEY)).toEqual(VALUE);
    expect(await cache.getWithMetadata(KEY)).toBeUndefined();
    expect(await cache.containsKey(KEY)).toBe(false);
    await connection.close();
  });

  it("run a load that counts what was acknowledged", async () => {
    const connection = await java().connect(server().address);
    const cache = connection.cache("bin", OCTETS);
    const load = { threads: 2, opsPerSecond: 200, keys: 10, valueBytes: 64, seconds: 1 };
    const result = await cache.load(load);
    expect(result).toMatchObject({ failures: 0, firstFailure: undefined });
    expect(result.puts).toBeGreaterThan(150);
    expect(result.puts).toBeLessThanOrEqual(202);
    expect(await cache.size()).toBe(10);
    await connection.close();
  });

  it("report a cache that does not exist", async () => {
    const connection = await java().connect(server().address);
    await expect(connection.cache("nowhere", OCTETS).get(KEY)).rejects.toThrow(/nowhere/);
    await connection.close();
  });
});

/** Three starts and a failure detection on a machine that does other work too; 25 s on an idle one. */
const TWO_NODES_MS_MAX = 300_000;

describe("two Infinispan nodes", () => {
  it(
    "form one cluster, keep entries when one dies, and take it back",
    async () => {
      await using a = await InfinispanServer.start({ name: "a", clusterName: "pair", caches });
      await using b = await InfinispanServer.start({ name: "b", joins: a, caches });
      await using java = await JavaClient.start();
      const atA = (await java.connect(a.address)).cache("bin", OCTETS);
      const keys = Array.from({ length: 50 }, (_, i) => Buffer.from(`k${i}`));
      await atA.putAll(keys.map((key) => [key, VALUE]));
      await a.kill();
      // A client that met the dead node in its handshake may never end: each look has a connection of its own.
      const sizeAtB = async () => (await java.connect(b.address)).cache("bin", OCTETS).size();
      await expect.poll(sizeAtB, { timeout: 100_000 }).toBe(keys.length);
      await a.run();
      const again = (await java.connect(a.address, { intelligence: "BASIC" })).cache("bin", OCTETS);
      expect(await again.get(Buffer.from("k7"))).toEqual(VALUE);
      expect(await again.size()).toBe(keys.length);
    },
    TWO_NODES_MS_MAX,
  );
});
