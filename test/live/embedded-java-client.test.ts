import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EmbeddedServer } from "../../site-agent/connector/embedded/embedded-server.ts";
import { OCTET_STREAM } from "../../topology/hotrod/media-type.ts";
import { JavaClient } from "../support/java-client.ts";
import type { JavaConnection } from "../support/java-client.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";

const OCTETS = "application/octet-stream";
const PROTOSTREAM = "application/x-protostream";
const KEY = Buffer.from("6b00ff31", "hex");
const VALUE = Buffer.from("768001004a0b0affc3", "hex");

// Goal: Infinispan's own client, unchanged, takes the embedded server for an Infinispan.
describe("the Java client on an embedded server", () => {
  const server = new EmbeddedServer({
    listen: { host: "127.0.0.1", port: 0 },
    caches: [
      { name: "bin", keyMediaType: OCTET_STREAM, valueMediaType: OCTET_STREAM },
      { name: "proto" },
    ],
    clock: realClock,
    random: realRandom,
    logger: new MemoryLogger(),
  });
  let java: JavaClient;
  let connection: JavaConnection;

  beforeAll(async () => {
    const { port } = await server.start();
    java = await JavaClient.start();
    connection = await java.connect(`127.0.0.1:${port}`);
  });
  afterAll(async () => {
    await java[Symbol.asyncDispose]();
    await server.stop();
  });

  for (const [name, mediaType] of Object.entries({ bin: OCTETS, proto: PROTOSTREAM })) {
    it(`passes bytes unchanged through a cache of ${mediaType}`, async () => {
      const cache = connection.cache(name, mediaType);
      await cache.put(KEY, VALUE);
      expect(await cache.get(KEY)).toEqual(VALUE);
      await cache.putAll([
        [Buffer.from("a"), Buffer.alloc(0)],
        [Buffer.from("b"), VALUE],
      ]);
      const entries = await cache.entries(2);
      expect([...entries.keys()].sort()).toEqual(["6b00ff31", "61", "62"].sort());
      expect(entries.get("61")?.value).toEqual(Buffer.alloc(0));
      expect(await cache.size()).toBe(3);
      await cache.clear();
      expect(await cache.size()).toBe(0);
    });
  }

  it("gets the answers of Infinispan to conditional writes, with the previous value where it forces it", async () => {
    const cache = connection.cache("bin", OCTETS, ["FORCE_RETURN_VALUE"]);
    expect(await cache.put(KEY, VALUE)).toBeUndefined();
    expect(await cache.put(KEY, KEY)).toEqual(VALUE);
    expect(await cache.remove(KEY)).toEqual(KEY);
    expect(await cache.remove(KEY)).toBeUndefined();
    expect(await cache.putIfAbsent(KEY, VALUE, { lifespanMs: 60_000 })).toBeUndefined();
    expect(await cache.putIfAbsent(KEY, KEY)).toEqual(VALUE);
    const found = await cache.getWithMetadata(KEY);
    expect(found).toMatchObject({ value: VALUE, lifespanS: 60, maxIdleS: -1 });
    const version = found?.version ?? 0n;
    expect(await cache.replaceWithVersion(KEY, KEY, version + 1n)).toBe(false);
    expect(await cache.replaceWithVersion(KEY, KEY, version)).toBe(true);
    expect(await cache.removeWithVersion(KEY, version)).toBe(false);
    expect(await cache.replace(KEY, VALUE)).toEqual(KEY);
    const again = await cache.getWithMetadata(KEY);
    expect(again).toMatchObject({ lifespanS: -1, maxIdleS: -1 });
    expect(await cache.removeWithVersion(KEY, again?.version ?? 0n)).toBe(true);
    expect(await cache.getWithMetadata(KEY)).toBeUndefined();
    expect(await cache.containsKey(KEY)).toBe(false);
  });

  it("sees max-idle and lifespan as it set them", async () => {
    const cache = connection.cache("bin", OCTETS);
    await cache.put(KEY, VALUE, { lifespanMs: 90_000, maxIdleMs: 30_000 });
    const found = await cache.getWithMetadata(KEY);
    expect(found).toMatchObject({ lifespanS: 90, maxIdleS: 30 });
    expect(Math.abs((found?.created ?? 0) - Date.now())).toBeLessThan(60_000);
    await cache.remove(KEY);
  });

  it("finds the boot id and the time since the start among the statistics", async () => {
    const stats = await connection.cache("bin", OCTETS).stats();
    expect(stats.get("bootId")).toBe(server.bootId);
    expect(Number(stats.get("timeSinceStart"))).toBeGreaterThanOrEqual(0);
    expect(Number(stats.get("stores"))).toBeGreaterThan(0);
  });

  it("is told of a cache that does not exist", async () => {
    await expect(connection.cache("nowhere", OCTETS).get(KEY)).rejects.toThrow(/nowhere/);
  });

  it("runs a load from several threads without a failure", async () => {
    const cache = connection.cache("bin", OCTETS);
    const load = { threads: 4, opsPerSecond: 0, keys: 100, valueBytes: 64, seconds: 2 };
    const result = await cache.load({ ...load, removePercent: 10 });
    expect(result).toMatchObject({ failures: 0, firstFailure: undefined });
    expect(result.puts).toBeGreaterThan(1000);
    expect(result.removes).toBeGreaterThan(10);
    await cache.clear();
  });
});
