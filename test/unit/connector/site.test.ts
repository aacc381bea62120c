import { describe, expect, it } from "vitest";
import { EmbeddedServer } from "../../../site-agent/connector/embedded/embedded-server.ts";
import { isOutcomeUnknown } from "../../../site-agent/connector/failure.ts";
import { HotRodPool } from "../../../site-agent/connector/pool.ts";
import type { PoolLimits, PoolOptions } from "../../../site-agent/connector/pool.ts";
import type { SaslLogin } from "../../../site-agent/connector/sasl/mechanism.ts";
import { runningSince, sameRun } from "../../../site-agent/connector/server-run.ts";
import { HotRodSite } from "../../../site-agent/connector/site.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { HotRodRequest } from "../../../topology/hotrod/messages.ts";
import { Status } from "../../../topology/hotrod/opcodes.ts";
import type { CacheEvent } from "../../../topology/ports.ts";
import { CACHE_RUN_TOLERANCE_MS } from "../../../topology/limits.ts";
import { valueHash } from "../../../topology/version/value-hash.ts";
import { field } from "../../support/keycloak-values.ts";
import { MemoryLogger, realClock, realRandom } from "../../support/real-time.ts";
import { answerTo, ScriptedHotRod } from "../../support/scripted-hot-rod.ts";
import type { ScriptedClient } from "../../support/scripted-hot-rod.ts";

const NEVER = { lifespanMs: 0, maxIdleMs: 0 };
const PROTO = "application/x-protostream";

const options = (ports: number[], limits: Partial<PoolLimits>, auth?: SaslLogin): PoolOptions => ({
  servers: ports.map((port) => ({ host: "127.0.0.1", port })),
  auth,
  clock: realClock,
  random: realRandom,
  logger: new MemoryLogger(),
  limits,
});

function siteOf(ports: number[], limits: Partial<PoolLimits> = {}, auth?: SaslLogin) {
  const site = new HotRodSite(options(ports, limits, auth));
  return Object.assign(site, { [Symbol.asyncDispose]: () => site.close() });
}

async function embedded(port = 0) {
  const server = new EmbeddedServer({
    listen: { host: "127.0.0.1", port },
    caches: [{ name: "sessions" }],
    clock: realClock,
    random: realRandom,
    logger: new MemoryLogger(),
  });
  const started = await server.start();
  return { port: started.port, [Symbol.asyncDispose]: () => server.stop(), server };
}

async function errorOf(promise: Promise<unknown>): Promise<IsthmusError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(IsthmusError);
  return error as IsthmusError;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = realClock.monotonic() + 5_000;
  while (!condition()) {
    if (realClock.monotonic() > end) throw new Error(`waited for ${what}`);
    await realClock.sleep(5);
  }
}

/** Answers every operation of a cache with one entry. */
function oneEntry(request: HotRodRequest, client: ScriptedClient): void {
  const header = answerTo(request);
  const missing = { ...header, status: Status.KeyDoesNotExist };
  if (request.op === "getWithMetadata")
    client.send({ op: request.op, header: missing, entry: undefined });
  else if (request.op === "containsKey") client.send({ op: request.op, header: missing });
  else if (request.op === "stats") client.send({ op: request.op, header, stats: new Map() });
  else if (request.op === "putIfAbsent")
    client.send({ op: request.op, header, previous: undefined });
  else throw new Error(`unexpected ${request.op}`);
}

describe("the client against the embedded server", () => {
  it("opens, writes by compare-and-set, reads, listens, scans and names", async () => {
    await using server = await embedded();
    await using site = siteOf([server.port]);
    expect(await site.names()).toEqual(["sessions"]);
    const cache = site.cache("sessions");
    const info = await cache.open();
    expect(info.mediaType).toBe(PROTO);
    expect([...info.runs.values()]).toEqual([`boot ${server.server.bootId}`]);
    const events: CacheEvent[] = [];
    const listener = await cache.listen((event) => events.push(event));
    expect(await cache.write("k", "missing", Buffer.from("one"), NEVER)).toBe("done");
    expect(await cache.write("k", "missing", Buffer.from("two"), NEVER)).toBe("lost");
    const one = await cache.read("k");
    const token = one?.token ?? 0n;
    const brief = { lifespanMs: 30_000, maxIdleMs: 20_000 };
    expect(await cache.write("k", token, Buffer.from("two"), brief)).toBe("done");
    const two = await cache.read("k");
    expect(two?.expiresAt).toBe((two?.createdAt ?? 0) + 30_000);
    expect(two?.maxIdleMs).toBe(20_000);
    const chunks = [];
    for await (const chunk of cache.scan(new AbortController().signal)) chunks.push(...chunk);
    expect(chunks).toEqual([{ key: "k", state: two }]);
    expect(await cache.remove("k", token)).toBe("lost");
    expect(await cache.remove("k", two?.token ?? 0n)).toBe("done");
    await until(() => events.length === 3, "three events");
    expect(events.map((event) => event.cause)).toEqual(["created", "modified", "removed"]);
    expect(events[0]).toMatchObject({ token, hash: valueHash(PROTO, Buffer.from("one")) });
    await listener.close();
  });

  it("asks for a schema by its name, as the string that it is in protobuf", async () => {
    await using server = await ScriptedHotRod.start();
    await using site = siteOf([server.port]);
    const schema = `syntax = "proto3";\nmessage Long {} // ${"x".repeat(200)}`;
    server.script = (request, client) => {
      const value = field(9, schema);
      const never = { createdMs: undefined, lifespanSeconds: undefined };
      const metadata = {
        ...never,
        lastUsedMs: undefined,
        maxIdleSeconds: undefined,
        entryVersion: 1n,
      };
      client.send({ op: "getWithMetadata", header: answerTo(request), entry: { metadata, value } });
    };
    expect(await site.protobufSchema("Any.proto")).toBe(schema);
    expect(server.requests).toMatchObject([
      {
        op: "getWithMetadata",
        header: { cache: "___protobuf_metadata", keyMediaType: { name: PROTO } },
        key: Buffer.from("\x4a\x09Any.proto"),
      },
    ]);
  });

  it("finds no schemas where there is no protobuf", async () => {
    await using server = await embedded();
    await using site = siteOf([server.port]);
    expect(await site.protobufSchema("Any.proto")).toBeUndefined();
  });

  it("tells a listener that is lost, and comes back to a server that was started again", async () => {
    const first = await embedded();
    await using site = siteOf([first.port], { retryMinMs: 1, retryMaxMs: 5 });
    const cache = site.cache("sessions");
    const before = await cache.open();
    const listener = await cache.listen(() => undefined);
    await first[Symbol.asyncDispose]();
    expect(await listener.lost).toContain(`127.0.0.1:${first.port}`);
    expect((await errorOf(cache.read("k"))).code).toBe(ErrorCode.CacheUnreachable);
    await using second = await embedded(first.port);
    let runs = before.runs;
    const end = realClock.monotonic() + 5_000;
    while (runs === before.runs && realClock.monotonic() < end) {
      runs = await cache.open().then(
        (info) => info.runs,
        () => before.runs,
      );
    }
    const address = `127.0.0.1:${second.port}`;
    expect(sameRun(before.runs.get(address), runs.get(address))).toBe(false);
  });

  it("says that a listener is lost when its cache is removed under it", async () => {
    await using server = await embedded();
    await using site = siteOf([server.port], { pingAfterMs: 20 });
    const cache = site.cache("sessions");
    await cache.open();
    const listener = await cache.listen(() => undefined);
    const admin = new HotRodPool(options([server.port], {}));
    const taskParams = [{ name: "name", value: Buffer.from("sessions") }];
    await admin.request("exec", { cache: "" }, { task: "@@cache@remove", taskParams });
    expect(await listener.lost).toContain('"sessions"');
    admin.close();
  });
});

describe("two servers", () => {
  it("a read whose server breaks off is sent to the other, a write is not: its outcome is unknown", async () => {
    await using one = await ScriptedHotRod.start();
    await using two = await ScriptedHotRod.start();
    await using site = siteOf([one.port, two.port], { connectionsPerServer: 1 });
    one.script = oneEntry;
    two.script = oneEntry;
    const cache = site.cache("c");
    await cache.open();
    const breakOff = (request: HotRodRequest, client: ScriptedClient): void => {
      one.script = oneEntry;
      two.script = oneEntry;
      client.socket.destroy();
      void request;
    };
    one.script = breakOff;
    two.script = breakOff;
    expect(await cache.read("k")).toBeUndefined();
    one.script = breakOff;
    two.script = breakOff;
    const count = (): number =>
      [...one.requests, ...two.requests].filter(({ op }) => op === "putIfAbsent").length;
    const error = await errorOf(cache.write("k", "missing", Buffer.from("v"), NEVER));
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(count()).toBe(1);
  });

  it("a server that is away is left alone between tries, and all work goes to the other", async () => {
    await using one = await ScriptedHotRod.start();
    one.script = oneEntry;
    await using site = siteOf([one.port, 1], { retryMinMs: 60_000, retryMaxMs: 60_000 });
    const cache = site.cache("c");
    await cache.open();
    await Promise.all(Array.from({ length: 50 }, (_, i) => cache.read(`${i}`)));
    expect(one.requests.filter(({ op }) => op === "getWithMetadata").length).toBe(50);
    expect(one.clients.length).toBeLessThanOrEqual(2);
  });
});

describe("a login", () => {
  it("is refused when the server ends it before it has proven that it knows the password", async () => {
    await using server = await ScriptedHotRod.start();
    server.script = (request, client) => {
      const header = answerTo(request);
      if (request.op === "authMechList")
        client.send({ op: request.op, header, mechanisms: ["SCRAM-SHA-512"] });
      else if (request.op === "auth")
        client.send({ op: request.op, header, complete: true, challenge: Buffer.alloc(0) });
    };
    const login: SaslLogin = { mechanism: "SCRAM-SHA-512", username: "u", password: "secret" };
    await using site = siteOf([server.port], {}, login);
    const error = await errorOf(site.cache("c").open());
    expect(error.code).toBe(ErrorCode.CacheAuthFailed);
    expect(error.message).not.toContain("secret");
  });
});

describe("the stamps of a server's run", () => {
  it("are of one run when starts differ by less than the rounding, else not", () => {
    expect(sameRun("start 1000000", "start 1001900")).toBe(true);
    expect(sameRun("start 1000000", "start 1004000")).toBe(false);
    // A clock that was set: the topology's id tells that the server runs on.
    expect(sameRun("start 1000000 77", "start 1300000 77")).toBe(true);
    expect(sameRun("start 1000000 77", "start 1300000 78")).toBe(false);
    expect(sameRun("start 1000000", "start 1300000 77")).toBe(false);
    expect(sameRun("start 1000000 77", "start 1001000 78")).toBe(true);
    expect(sameRun("boot a", "boot a")).toBe(true);
    expect(sameRun("boot a", "boot b")).toBe(false);
    expect(sameRun("topology 1", "topology 2")).toBe(false);
    expect(sameRun("start 1", "boot 1")).toBe(false);
    expect(sameRun(undefined, undefined)).toBe(false);
  });

  it("tell since when the cache has held what was put into it: the server that started first runs on", () => {
    const since = (...runs: string[]) =>
      runningSince(new Map(runs.map((run, i) => [`s${i}`, run])));
    expect(since("start 9000000 77", "start 1000000 77")).toBe(1_000_000 + CACHE_RUN_TOLERANCE_MS);
    expect(since("start 1000000", "boot a")).toBe(1_000_000 + CACHE_RUN_TOLERANCE_MS);
    expect([since("boot a"), since("topology 1"), since()]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
