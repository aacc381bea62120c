// Goal: a write through a front door is answered when the other site has it, or by the rule of the file when it has not.
// Method: two sites with a real Infinispan each, a front door at nyc, Infinispan's own Java client as the writer, which also
// reads lon's Infinispan directly at each answer.
import { connect } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import type { HoldStats } from "../../deploy/site/cache-hold.ts";
import type { JavaConnection } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const caches = { sessions: {}, tokens: {}, carts: {} };
const POLICIES = [
  "{ match: sessions, mode: sync, timeout: 1500ms }",
  "{ match: tokens, mode: sync, timeout: 700ms, onTimeout: fail }",
  "{ match: carts, mode: async }",
];

let door = "";

const sites = shared(async () => {
  const [port = 0] = await freePorts(1);
  door = `127.0.0.1:${port}`;
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches, frontDoorPort: port },
      { name: "lon", caches },
    ],
    policies: POLICIES,
  });
  await started.run();
  await until(
    "the front door is open",
    async () => started.site("nyc").site.frontDoor !== undefined,
  );
  return started;
});

const hold = (cache: string) => {
  const held = sites().site("nyc").handled(cache).hold;
  if (held === undefined) throw new Error(`${cache} is not held`);
  return held;
};

const stats = (cache: string): HoldStats => ({ ...hold(cache).stats });

describe("a front door", () => {
  let through: JavaConnection;
  let direct: JavaConnection;

  beforeAll(async () => {
    through = await sites().java.connect(door);
    direct = await sites().java.connect(sites().site("lon").nodes[0]?.address ?? "");
  });

  it("answers 10,000 writes when the other site's Infinispan has them, and not before (I5)", async () => {
    const found = await through.cache("sessions").heldWrites(direct, 10_000, 8);
    expect(found).toMatchObject({ done: 10_000, failures: 0, misses: 0, firstFault: undefined });
    expect(stats("sessions")).toMatchObject({ degraded: 0, failed: 0 });
    process.stdout.write(`held writes: ${JSON.stringify(found.latencyUs)}\n`);
  }, 300_000);

  it("keeps a client that wants the topology, and answers what is not replicated at once", async () => {
    const cache = through.cache("carts");
    await cache.put(Buffer.from("k"), Buffer.from("v"));
    expect((await cache.get(Buffer.from("k")))?.toString()).toBe("v");
    const before = sites().site("nyc").site.frontDoor?.stats.requests ?? 0;
    for (let i = 0; i < 20; i++) await cache.get(Buffer.from("k"));
    expect(sites().site("nyc").site.frontDoor?.stats.requests).toBe(before + 20);
  });

  it("holds a write while the target is paused, and no longer", async () => {
    const { pause } = sites().site("lon").handled("sessions");
    await pause.begin();
    const began = Date.now();
    const write = through.cache("sessions").put(Buffer.from("paused"), Buffer.from("v"));
    await new Promise((resolve) => setTimeout(resolve, 600));
    await pause.end();
    const ended = Date.now();
    await write;
    expect(Date.now()).toBeGreaterThanOrEqual(ended);
    expect(Date.now() - began).toBeLessThan(1_500);
    expect((await direct.cache("sessions").get(Buffer.from("paused")))?.toString()).toBe("v");
  });

  it("answers when the budget is used up under degrade, waits for the target no more, and does again once it is level", async () => {
    const { pause } = sites().site("lon").handled("sessions");
    const before = stats("sessions");
    await pause.begin();
    const cache = through.cache("sessions");
    const began = Date.now();
    await cache.put(Buffer.from("late"), Buffer.from("v"));
    const waitedMs = Date.now() - began;
    expect(waitedMs).toBeGreaterThanOrEqual(1_490);
    expect(waitedMs).toBeLessThan(1_900);
    expect([...hold("sessions").degraded.keys()]).toEqual(["lon"]);
    const again = Date.now();
    await cache.put(Buffer.from("late"), Buffer.from("v2"));
    expect(Date.now() - again).toBeLessThan(400);
    expect(stats("sessions")).toMatchObject({
      degraded: before.degraded + 1,
      unheld: before.unheld + 1,
      failed: 0,
    });
    await pause.end();
    await until("writers wait again", async () => hold("sessions").degraded.size === 0);
    await cache.put(Buffer.from("late"), Buffer.from("v3"));
    expect((await direct.cache("sessions").get(Buffer.from("late")))?.toString()).toBe("v3");
  }, 30_000);

  it("tells the writer under fail that no other site has the write, which stays at its own", async () => {
    const { pause } = sites().site("lon").handled("tokens");
    await pause.begin();
    const cache = through.cache("tokens");
    const put = cache.put(Buffer.from("code"), Buffer.from("v"));
    await expect(put).rejects.toThrow(/isthmus: lon did not confirm the write within 700 ms/);
    expect((await cache.get(Buffer.from("code")))?.toString()).toBe("v");
    expect(stats("tokens")).toMatchObject({ failed: 1, degraded: 0 });
    await pause.end();
    await sites().settled("tokens");
    expect((await direct.cache("tokens").get(Buffer.from("code")))?.toString()).toBe("v");
  }, 30_000);

  it("holds every kind of write, those that name no key or hide from listeners among them (I5)", async () => {
    const there = direct.cache("sessions");
    const cache = through.cache("sessions");
    const key = (name: string) => Buffer.from(name);
    const at = async (name: string) => (await there.get(key(name)))?.toString();
    await cache.putIfAbsent(key("a"), key("1"));
    expect(await at("a")).toBe("1");
    await cache.replace(key("a"), key("2"));
    expect(await at("a")).toBe("2");
    const entry = await cache.getWithMetadata(key("a"));
    await cache.replaceWithVersion(key("a"), key("3"), entry?.version ?? 0n);
    expect(await at("a")).toBe("3");
    await cache.putAll([
      [key("b"), key("1")],
      [key("c"), key("2")],
    ]);
    expect([await at("b"), await at("c")]).toEqual(["1", "2"]);
    const versioned = await cache.getWithMetadata(key("b"));
    await cache.removeWithVersion(key("b"), versioned?.version ?? 0n);
    expect(await at("b")).toBeUndefined();
    await cache.remove(key("c"));
    expect(await at("c")).toBeUndefined();
    const hidden = through.cache("sessions", undefined, ["SKIP_LISTENER_NOTIFICATION"]);
    await hidden.put(key("hidden"), key("1"));
    expect(await at("hidden")).toBe("1");
    const old = through.cache("sessions", undefined, ["FORCE_RETURN_VALUE"]);
    expect((await old.put(key("a"), key("4")))?.toString()).toBe("3");
    expect(await at("a")).toBe("4");
    await cache.clear();
    expect(await there.size()).toBe(0);
    expect(stats("sessions").failed).toBe(0);
  }, 30_000);

  it("answers an operation that it does not know with its number, and ends that connection", async () => {
    const port = Number(door.split(":")[1]);
    const answer = await new Promise<Buffer>((resolve) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(Buffer.from("a00129fe00000100", "hex")),
      );
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("close", () => resolve(Buffer.concat(chunks)));
    });
    expect(answer.toString("latin1")).toContain("does not know operation 0xfe");
    expect([answer[0], answer[2], answer[3]]).toEqual([0xa1, 0x50, 0x82]);
  });

  it("passes HTTP on the same port through to Infinispan", async () => {
    const answer = await fetch(`http://${door}/rest/v2/cache-managers/default/health/status`);
    expect([answer.status, await answer.text()]).toEqual([200, "HEALTHY"]);
  });

  it("finishes what is held when its site stops, and takes nobody new", async () => {
    const { pause } = sites().site("lon").handled("sessions");
    await pause.begin();
    const write = through.cache("sessions").put(Buffer.from("last"), Buffer.from("v"));
    await until(
      "the write waits",
      async () => sites().site("nyc").site.frontDoor?.stats.held === 1,
    );
    const stopping = sites().site("nyc").stop();
    await pause.end();
    const [result] = await Promise.allSettled([write, stopping]);
    expect(result.status).toBe("fulfilled");
    expect((await direct.cache("sessions").get(Buffer.from("last")))?.toString()).toBe("v");
    await expect(fetch(`http://${door}/`)).rejects.toThrow();
  }, 60_000);
});
