import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EmbeddedCacheOptions } from "../../../site-agent/connector/embedded/embedded-cache.ts";
import { EmbeddedServer } from "../../../site-agent/connector/embedded/embedded-server.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { decodeEagerEvent, EAGER_CONVERTER } from "../../../topology/hotrod/eager-event.ts";
import { expirationOfMs, IMMORTAL } from "../../../topology/hotrod/expiration.ts";
import { responseDecoder } from "../../../topology/hotrod/frame.ts";
import { mediaTypeOf, OCTET_STREAM } from "../../../topology/hotrod/media-type.ts";
import type { HotRodResponse, RequestBodies } from "../../../topology/hotrod/messages.ts";
import { Flag, Interest, Status } from "../../../topology/hotrod/opcodes.ts";
import { encodeRequest } from "../../../topology/hotrod/request.ts";
import {
  EMBEDDED_ITERATIONS_MAX,
  EMBEDDED_OUTPUT_BYTES_MAX,
  EMBEDDED_REAP_MS,
} from "../../../topology/limits.ts";
import { ManualClock, SeededRandom, silentLogger } from "../../support/manual-clock.ts";
import { EmbeddedClient } from "./embedded-client.ts";

const b = (text: string): Buffer => Buffer.from(text);
const forced = { flags: Flag.ForceReturnValue };

function newServer(clock: ManualClock, caches: EmbeddedCacheOptions[], createMissing = false) {
  const listen = { host: "127.0.0.1", port: 0 };
  const parts = { clock, random: new SeededRandom(), logger: silentLogger };
  return new EmbeddedServer({ listen, caches, createMissing, ...parts });
}

function listener(options: Partial<RequestBodies["addClientListener"]> = {}) {
  return {
    listenerId: b("listener"),
    includeState: false,
    filter: undefined,
    converter: { name: EAGER_CONVERTER, params: [] },
    useRawData: true,
    interests: 0,
    ...options,
  };
}

let clock: ManualClock;
let server: EmbeddedServer;
let port: number;
let client: EmbeddedClient;

beforeEach(async () => {
  clock = new ManualClock();
  server = newServer(clock, [
    { name: "c", keyMediaType: OCTET_STREAM, valueMediaType: OCTET_STREAM },
    { name: "proto" },
    { name: "small", maxCount: 2 },
  ]);
  ({ port } = await server.start());
  client = await EmbeddedClient.connect(port, "c");
});
afterEach(async () => {
  client.socket.destroy();
  await server.stop();
});

/** The value of an entry whose key is "k". */
const written = (value: string, lifespanMs = -1, maxIdleMs = -1) => ({
  key: b("k"),
  value: b(value),
  expiration: expirationOfMs(lifespanMs, maxIdleMs),
});

describe("a conditional write", () => {
  it("is done only if the token is the entry's, and says what is there when that is forced", async () => {
    await client.put("k", "1");
    const token = (await client.token("k")) ?? 0n;
    const wrong = { ...written("2"), entryVersion: token + 1n };
    expect((await client.ask("replaceIfUnmodified", wrong)).header.status).toBe(Status.NotExecuted);
    const told = await client.ask("replaceIfUnmodified", wrong, forced);
    expect(told.header.status).toBe(Status.NotExecutedWithPrevious);
    expect(told.previous?.value).toEqual(b("1"));
    expect(told.previous?.metadata?.entryVersion).toBe(token);
    const right = { ...written("2"), entryVersion: token };
    expect((await client.ask("replaceIfUnmodified", right)).header.status).toBe(Status.Ok);
    expect(await client.get("k")).toBe("2");
    const stale = { key: b("k"), entryVersion: token };
    expect((await client.ask("removeIfUnmodified", stale)).header.status).toBe(Status.NotExecuted);
    const fresh = { key: b("k"), entryVersion: (await client.token("k")) ?? 0n };
    const removed = await client.ask("removeIfUnmodified", fresh, forced);
    expect(removed.header.status).toBe(Status.OkWithPrevious);
    expect(removed.previous?.value).toEqual(b("2"));
  });

  it("finds a missing key missing", async () => {
    const replace = { ...written("2"), entryVersion: 1n };
    const remove = { key: b("k"), entryVersion: 1n };
    const missing = Status.KeyDoesNotExist;
    expect((await client.ask("replaceIfUnmodified", replace)).header.status).toBe(missing);
    expect((await client.ask("removeIfUnmodified", remove)).header.status).toBe(missing);
    expect((await client.ask("replace", written("1"))).header.status).toBe(Status.NotExecuted);
    expect(await client.get("k")).toBeUndefined();
  });

  it("gets another token each time, never 0", async () => {
    const tokens = new Set<bigint | undefined>();
    for (let i = 0; i < 50; i++) {
      await client.put("k", "same");
      tokens.add(await client.token("k"));
    }
    expect(tokens.size).toBe(50);
    expect(tokens.has(0n)).toBe(false);
  });
});

describe("expiry", () => {
  it("ends an entry at its lifespan, however often it is read", async () => {
    await client.ask("put", written("1", 1000));
    clock.advance(999);
    expect(await client.get("k")).toBe("1");
    clock.advance(1);
    expect(await client.get("k")).toBeUndefined();
  });

  it("ends an entry that was idle for its max-idle, counted from the last read", async () => {
    await client.ask("put", written("1", -1, 1000));
    clock.advance(900);
    expect(await client.get("k")).toBe("1");
    clock.advance(900);
    expect(await client.get("k")).toBe("1");
    clock.advance(1000);
    expect(await client.get("k")).toBeUndefined();
  });

  it("begins the idle time anew at a refused conditional write, but not at an iteration or SIZE", async () => {
    await client.ask("put", written("1", -1, 1000));
    const wrong = { key: b("k"), entryVersion: 1n };
    const refused = [
      () => client.ask("putIfAbsent", written("2", -1, 1000)),
      () => client.ask("replaceIfUnmodified", { ...written("2", -1, 1000), ...wrong }),
      () => client.ask("removeIfUnmodified", wrong),
    ];
    for (const ask of refused) {
      clock.advance(900);
      expect((await ask()).header.status).toBe(Status.NotExecuted);
    }
    clock.advance(900);
    const scope = { segments: undefined, filterConverter: undefined, batchSize: 10 };
    const start = { ...scope, includeMetadata: true };
    const { iterationId } = await client.ask("iterationStart", start);
    expect((await client.ask("iterationNext", { iterationId })).entries).toHaveLength(1);
    expect((await client.ask("size", {})).size).toBe(1n);
    clock.advance(100);
    expect(await client.get("k")).toBeUndefined();
  });

  it("is found by the reaper without a read, and tells the value", async () => {
    await client.ask("put", written("1", 500));
    await client.ask("addClientListener", listener());
    const token = await client.token("k");
    clock.advance(EMBEDDED_REAP_MS);
    const [event, ...more] = await client.events();
    expect(more).toEqual([]);
    expect(event?.op).toBe("expired");
    expect(decodeEagerEvent(event?.data ?? b(""))).toEqual({ key: b("k"), value: b("1"), token });
  });

  it("comes before the creation that takes the entry's place", async () => {
    await client.ask("put", written("1", 500));
    await client.ask("addClientListener", listener());
    clock.advance(500);
    const messages = await client.exchange(client.request("put", written("2")));
    expect(messages.map((message) => message.op)).toEqual(["expired", "created", "put"]);
  });

  it("counts in seconds with 0 for never before protocol 2.2, and from the epoch above 30 days before 3.0", async () => {
    await client.ask("put", written("1", 2000), { version: 21 });
    const forever = { key: b("forever"), value: b("1"), expiration: IMMORTAL };
    await client.ask("put", forever, { version: 21 });
    await client.ask("put", { ...written("1", clock.now() + 5000), key: b("at") }, { version: 29 });
    clock.advance(2000);
    expect(await client.get("k")).toBeUndefined();
    expect(await client.get("at")).toBe("1");
    clock.advance(3000);
    expect(await client.get("at")).toBeUndefined();
    expect(await client.get("forever")).toBe("1");
  });
});

describe("a listener", () => {
  it("hears only of what interests it", async () => {
    await client.ask("addClientListener", listener({ interests: Interest.Removed }));
    await client.put("k", "1");
    await client.put("k", "2");
    await client.ask("remove", { key: b("k") });
    // What the listener hears comes on the same connection as the answers, which `ask` took.
    const other = await EmbeddedClient.connect(port, "c");
    await other.put("k", "3");
    await other.ask("remove", { key: b("k") });
    expect((await client.events()).map((event) => event.op)).toEqual(["removed"]);
    other.socket.destroy();
  });

  it("gets the state first, under the id of its request, and then its answer", async () => {
    await client.put("a", "1");
    await client.put("b", "2");
    const request = client.request("addClientListener", listener({ includeState: true }));
    const messages = await client.exchange(request);
    expect(messages.map((m) => [m.op, m.header.id])).toEqual([
      ["created", request.header.id],
      ["created", request.header.id],
      ["addClientListener", request.header.id],
    ]);
  });

  it("hears nothing of a write that asks for silence", async () => {
    await client.ask("addClientListener", listener());
    const silent = { flags: Flag.SkipListenerNotification };
    const messages = await client.exchange(client.request("put", written("1"), silent));
    expect(messages.map((message) => message.op)).toEqual(["put"]);
  });

  it("ends with its connection", async () => {
    const other = await EmbeddedClient.connect(port, "c");
    await other.ask("addClientListener", listener());
    const closed = once(other.socket, "close");
    other.socket.destroy();
    await closed;
    // Its id is free again once the server has seen the end.
    await expect
      .poll(async () => {
        const answer = await client.ask("removeClientListener", { listenerId: b("listener") });
        return answer.header.status;
      })
      .toBe(Status.NotExecuted);
  });

  it("survives the end of the connection that it was added on before, when a client that lost it adds it again", async () => {
    const first = await EmbeddedClient.connect(port, "c");
    await first.ask("addClientListener", listener());
    await client.ask("addClientListener", listener());
    const closed = once(first.socket, "close");
    first.socket.end();
    await closed;
    const messages = await client.exchange(client.request("put", written("1")));
    expect(messages.map((message) => message.op)).toEqual(["created", "put"]);
  });

  it("gets what the converter made as ProtoStream bytes unless it asks for raw data", async () => {
    const inProto = { cache: "proto" };
    await client.ask("addClientListener", listener({ useRawData: false }), inProto);
    const messages = await client.exchange(client.request("put", written("1"), inProto));
    const event = messages[0];
    if (event?.op !== "created") throw new Error(`no event but ${event?.op}`);
    expect(event.custom).toBe(1);
    expect(event.data[0]).toBe(0x52);
    expect(event.data[1]).toBe(event.data.length - 2);
    expect(decodeEagerEvent(event.data.subarray(2)).value).toEqual(b("1"));
  });

  it("hears of what this process writes", async () => {
    await client.ask("addClientListener", listener());
    server.cache("c").put(b("k"), b("1"));
    server.cache("c").remove(b("k"));
    expect((await client.events()).map((event) => event.op)).toEqual(["created", "removed"]);
  });

  it("with an unknown filter is refused", async () => {
    const refused = listener({ filter: { name: "mine", params: [] } });
    const [answer] = await client.exchange(client.request("addClientListener", refused));
    expect(answer).toMatchObject({ op: "error", header: { status: Status.ServerError } });
    expect(answer).toHaveProperty("message", expect.stringContaining("filter factory 'mine'"));
  });
});

describe("many entries", () => {
  it("of one putAll share their token, and getAll leaves out what is missing", async () => {
    const entries = ["a", "b"].map((key) => ({ key: b(key), value: b(`of ${key}`) }));
    await client.ask("putAll", { expiration: IMMORTAL, entries });
    expect(await client.token("a")).toBe(await client.token("b"));
    const got = await client.ask("getAll", { keys: [b("a"), b("missing"), b("b")] });
    expect(got.entries.map(({ key, value }) => `${key.toString()}=${value.toString()}`)).toEqual([
      "a=of a",
      "b=of b",
    ]);
    expect((await client.ask("size", {})).size).toBe(2n);
    const bulk = await client.ask("bulkGet", { count: 1 });
    expect(bulk.entries.length).toBe(1);
    expect((await client.ask("bulkGetKeys", { scope: 0 })).keys.length).toBe(2);
  });

  it("are iterated in batches, without those that went meanwhile", async () => {
    for (let i = 0; i < 25; i++) await client.put(`key-${i}`, `${i}`);
    const start = { segments: undefined, filterConverter: undefined, batchSize: 10 };
    const body = { ...start, includeMetadata: true };
    const { iterationId } = await client.ask("iterationStart", body);
    await client.ask("remove", { key: b("key-24") });
    const sizes: number[] = [];
    const keys = new Set<string>();
    for (;;) {
      const { entries } = await client.ask("iterationNext", { iterationId });
      for (const { key } of entries) keys.add(key.toString());
      sizes.push(entries.length);
      if (entries.length === 0) break;
    }
    expect(sizes).toEqual([10, 10, 4, 0]);
    expect(keys.size).toBe(24);
    expect((await client.ask("iterationEnd", { iterationId })).header.status).toBe(Status.Ok);
    const after = await client.ask("iterationNext", { iterationId });
    expect(after.header.status).toBe(Status.InvalidIteration);
  });

  it("are iterated as keys alone for Java's keySet, and not at all with another filter", async () => {
    await client.put("k", "1");
    const start = async (name: string) => {
      const filterConverter = { name, params: [] };
      const body = { segments: undefined, filterConverter, batchSize: 1, includeMetadata: false };
      return client.exchange(client.request("iterationStart", body));
    };
    const keys = "org.infinispan.server.hotrod.HotRodServer$ToEmptyBytesKeyValueFilterConverter";
    const [started] = await start(keys);
    if (started?.op !== "iterationStart") throw new Error(`no iteration but ${started?.op}`);
    const { entries } = await client.ask("iterationNext", { iterationId: started.iterationId });
    expect(entries).toEqual([{ metadata: undefined, key: b("k"), values: [b("")] }]);
    const [refused] = await start("mine");
    expect(refused).toHaveProperty("message", expect.stringContaining("filter 'mine'"));
  });

  it("cannot be iterated over without end: the iterations of a connection are bounded", async () => {
    const body = { segments: undefined, filterConverter: undefined, batchSize: 1 };
    const start = { ...body, includeMetadata: false };
    for (let i = 0; i < EMBEDDED_ITERATIONS_MAX; i++) await client.ask("iterationStart", start);
    const [answer] = await client.exchange(client.request("iterationStart", start));
    expect(answer).toHaveProperty("message", expect.stringContaining("iterations open"));
  });

  it("beyond the bound of a cache drop the one written longest ago, without an event", async () => {
    const small = { cache: "small" };
    await client.ask("addClientListener", listener(), small);
    for (const key of ["a", "b", "a", "c"]) await client.put(key, "1", small);
    expect(Array.from(server.cache("small").entries(), ({ key }) => key.toString())).toEqual([
      "a",
      "c",
    ]);
    expect(server.cache("small").counters.evictions).toBe(1);
  });
});

describe("a cache", () => {
  it("is created by the task that Java clients send, with the media type of its configuration", async () => {
    const [missing] = await client.exchange(client.request("ping", {}, { cache: "new" }));
    expect(missing).toMatchObject({ op: "error", header: { status: Status.ParseError } });
    const xml = '<distributed-cache name="new"><encoding media-type="application/json"/>';
    const taskParams = [
      { name: "name", value: b("new") },
      { name: "configuration", value: b(xml) },
    ];
    await client.ask("exec", { task: "@@cache@getorcreate", taskParams }, { cache: "" });
    await client.put("k", "kept", { cache: "new" });
    await client.ask("exec", { task: "@@cache@getorcreate", taskParams }, { cache: "" });
    const ping = await client.ask("ping", {}, { cache: "new" });
    expect(ping.valueMediaType).toEqual(mediaTypeOf("application/json"));
    expect(server.cache("new").size).toBe(1);
  });

  it("is created by its first use where the server was told so", async () => {
    const lenient = newServer(clock, [], true);
    const other = await EmbeddedClient.connect((await lenient.start()).port, "any");
    await other.put("k", "1");
    expect(await other.get("k")).toBe("1");
    other.socket.destroy();
    await lenient.stop();
  });

  it("tells in its statistics how long the server runs and which boot it is", async () => {
    clock.advance(7000);
    await client.put("k", "1");
    await client.get("k");
    await client.get("missing");
    const { stats } = await client.ask("stats", {});
    expect(stats.get("timeSinceStart")).toBe("7");
    expect(stats.get("bootId")).toBe(server.bootId);
    const counts = ["currentNumberOfEntries", "stores", "hits", "misses"].map((n) => stats.get(n));
    expect(counts).toEqual(["1", "1", "1", "1"]);
  });
});

describe("a connection", () => {
  /** All that the server answers to those bytes, until it closes the connection. */
  async function answersTo(bytes: Buffer): Promise<HotRodResponse[]> {
    const answers: HotRodResponse[] = [];
    const socket = connect(port, "127.0.0.1");
    const decoder = responseDecoder(() => undefined);
    socket.on("data", (chunk: Buffer) => void decoder.push(chunk, (f) => answers.push(f.message)));
    socket.write(bytes);
    await once(socket, "close", { signal: AbortSignal.timeout(5000) });
    return answers;
  }

  it("with an operation that does not exist is answered and closed", async () => {
    const [answer, ...more] = await answersTo(Buffer.from([0xa0, 7, 41, 0x99, 0, 0, 1, 0, 0]));
    expect(answer).toMatchObject({
      op: "error",
      header: { id: 7, status: Status.UnknownOperation },
    });
    expect(more).toEqual([]);
  });

  it("with a version that does not exist is answered and closed", async () => {
    const [answer] = await answersTo(Buffer.from([0xa0, 7, 99, 0x01]));
    expect(answer).toMatchObject({ op: "error", header: { id: 7, status: Status.UnknownVersion } });
  });

  it("with anything but Hot Rod is answered and closed", async () => {
    const [answer] = await answersTo(b("GET / HTTP/1.1\r\n\r\n"));
    expect(answer).toMatchObject({ op: "error", header: { status: Status.InvalidMagicOrId } });
  });

  it("gets an error for an operation that only Infinispan does, and goes on", async () => {
    const [answer] = await client.exchange(client.request("query", { query: b("FROM x") }));
    expect(answer).toHaveProperty("message", expect.stringContaining("'query'"));
    await client.put("k", "1");
    expect(await client.get("k")).toBe("1");
  });

  it("gets the answers to requests sent together in their order", async () => {
    const requests = Array.from({ length: 500 }, (_, i) =>
      client.request("put", { ...written(String(i)), key: b(`key-${i}`) }),
    );
    const all = Buffer.concat(requests.map(encodeRequest));
    const socket = connect(port, "127.0.0.1");
    const ids: number[] = [];
    const context = { op: "put", version: 41, intelligence: 1 } as const;
    const decoder = responseDecoder(() => context);
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, ({ message }) => ids.push(message.header.id));
    });
    socket.write(all);
    await expect.poll(() => ids.length).toBe(500);
    expect(ids).toEqual(requests.map((request) => request.header.id));
    socket.destroy();
  });

  it("gets all answers however long they are together, if it reads them", async () => {
    const value = Buffer.alloc(1024 * 1024);
    server.cache("c").put(b("long"), value);
    const count = Math.ceil((EMBEDDED_OUTPUT_BYTES_MAX / value.length) * 1.5);
    const requests = Array.from({ length: count }, () => client.request("get", { key: b("long") }));
    const socket = connect(port, "127.0.0.1");
    let read = 0;
    socket.on("data", (chunk: Buffer) => (read += chunk.length));
    // One write: the requests arrive together, and their answers exceed what may wait to be sent.
    socket.write(Buffer.concat(requests.map(encodeRequest)));
    await expect.poll(() => read, { timeout: 10_000 }).toBeGreaterThan(count * value.length);
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });

  it("is cut off when it does not read what its listener hears", async () => {
    const deaf = await EmbeddedClient.connect(port, "c");
    await deaf.ask("addClientListener", listener());
    deaf.socket.pause();
    const value = Buffer.alloc(8 * 1024 * 1024);
    const count = Math.ceil(EMBEDDED_OUTPUT_BYTES_MAX / value.length) + 1;
    for (let i = 0; i < count; i++) server.cache("c").put(b("long"), value);
    deaf.socket.on("error", () => {});
    const closed = once(deaf.socket, "close", { signal: AbortSignal.timeout(5000) });
    deaf.socket.resume();
    await closed;
    expect(deaf.socket.destroyed).toBe(true);
  });

  it.each([20, 21, 22, 24, 25, 28, 29, 30, 31, 40, 41])("speaks protocol %i", async (version) => {
    const old = { version, ...forced };
    await client.ask("put", written("1"), old);
    const put = await client.ask("put", written("2"), old);
    expect(put.previous?.value).toEqual(b("1"));
    const { entry } = await client.ask("getWithMetadata", { key: b("k") }, { version });
    expect(entry?.value).toEqual(b("2"));
    const ping = await client.ask("ping", {}, { version });
    expect(ping.valueMediaType).toEqual(version >= 29 ? OCTET_STREAM : undefined);
  });
});

describe("the server", () => {
  it("says what is wrong when its port is taken", async () => {
    const second = new EmbeddedServer({
      listen: { host: "127.0.0.1", port },
      caches: [],
      clock,
      random: new SeededRandom(),
      logger: silentLogger,
    });
    await expect(second.start()).rejects.toMatchObject({ code: ErrorCode.EmbeddedListen });
    await second.stop();
  });

  it("closes its connections when it stops", async () => {
    const closed = once(client.socket, "close", { signal: AbortSignal.timeout(5000) });
    await server.stop();
    await closed;
    expect(client.socket.destroyed).toBe(true);
  });
});
