import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EmbeddedServer } from "../../../site-agent/connector/embedded/embedded-server.ts";
import { FrontDoor } from "../../../site-agent/front-door/front-door.ts";
import type { HoldEnd, WriteHolds } from "../../../site-agent/front-door/write-holds.ts";
import { IMMORTAL } from "../../../topology/hotrod/expiration.ts";
import { Intelligence, Status } from "../../../topology/hotrod/opcodes.ts";
import type { HotRodRequest } from "../../../topology/hotrod/messages.ts";
import { encodeRequest, requestHeader } from "../../../topology/hotrod/request.ts";
import { MemoryLogger, realClock, realRandom } from "../../support/real-time.ts";
import { EmbeddedClient } from "../embedded/embedded-client.ts";

/** Holds every write to the cache "held" until the test ends it. */
class Holds implements WriteHolds {
  begun: string[] = [];
  dropped = 0;
  /** Of writes that were done, the oldest first. */
  readonly waiting: Array<(end: HoldEnd) => void> = [];

  replicates(name: string): boolean {
    return name === "held";
  }

  /** Uses of the cache "once", the oldest first. */
  readonly uses: Array<{ ready: (refused?: string) => void; ended: boolean[] }> = [];

  use(name: string) {
    if (name !== "once") return undefined;
    const ended: boolean[] = [];
    return {
      ready: (onReady: (refused: string | undefined) => void) =>
        void this.uses.push({ ready: (refused) => onReady(refused), ended }),
      end: (isDone: boolean) => void ended.push(isDone),
    };
  }

  begin(name: string, { keys }: { keys: readonly Buffer[] | undefined }) {
    if (name !== "held") return undefined;
    this.begun.push(keys?.map(String).join(",") ?? "unnamed");
    return {
      done: (onEnd: (end: HoldEnd) => void) => void this.waiting.push(onEnd),
      drop: () => void (this.dropped += 1),
    };
  }

  async next(): Promise<(end: HoldEnd) => void> {
    await expect.poll(() => this.waiting.length, { interval: 1 }).toBeGreaterThan(0);
    return this.waiting.shift() as (end: HoldEnd) => void;
  }
}

const logger = new MemoryLogger();
const clock = realClock;
const listen = { host: "127.0.0.1", port: 0 };
const server = new EmbeddedServer({
  listen,
  caches: [{ name: "held" }, { name: "free" }, { name: "once" }],
  clock,
  random: realRandom,
  logger,
});
let holds = new Holds();
let door: FrontDoor;
let port = 0;
const servers: Array<{ host: string; port: number }> = [];

beforeAll(async () => {
  servers.push({ host: "127.0.0.1", port: (await server.start()).port });
});
beforeEach(async () => {
  await door?.stop();
  holds = new Holds();
  door = new FrontDoor({ listen, servers, holds, clock, logger });
  ({ port } = await door.start());
});
afterAll(async () => {
  await door.stop();
  await server.stop();
});

const text = (value: string): Buffer => Buffer.from(value);
const put = (key: string, value: string) => ({
  key: text(key),
  value: text(value),
  expiration: IMMORTAL,
});

/** Sends bytes and returns all that comes until the door closes. */
async function answerTo(bytes: Buffer): Promise<Buffer> {
  const socket = connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined);
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(chunks);
}

describe("a front door", () => {
  it("keeps back the answer of a held write alone: what comes behind it is answered before", async () => {
    const client = await EmbeddedClient.connect(port, "held");
    client.socket.write(client.frame(client.request("put", put("k", "v"), { id: 77 })));
    const end = await holds.next();
    // The cache has it, and says so to whoever reads; PING is answered too.
    expect(await client.get("k")).toBe("v");
    await client.ask("ping", {});
    expect([holds.begun, door.stats.held]).toEqual([["k"], 1]);
    end(undefined);
    expect(door.stats.held).toBe(0);
    client.socket.destroy();
  });

  it("forwards the use of a single-use key once it may, nothing behind it waits, and tells how it ended", async () => {
    const client = await EmbeddedClient.connect(port, "once");
    await client.put("code", "v");
    client.socket.write(
      client.frame(client.request("remove", { key: text("code") }, { flags: 1 })),
    );
    await expect.poll(() => holds.uses.length, { interval: 1 }).toBe(1);
    // Reads, and removes that do not ask who did it, pass.
    expect(await client.get("code")).toBe("v");
    await client.ask("remove", { key: text("other") });
    const [first] = holds.uses;
    expect([holds.uses.length, first?.ended]).toEqual([1, []]);
    first?.ready();
    expect(await client.drain()).toMatchObject([
      { header: { status: Status.OkWithPrevious }, previous: { value: text("v") } },
    ]);
    expect(first?.ended).toEqual([true]);
    client.socket.write(
      client.frame(client.request("remove", { key: text("code") }, { flags: 1 })),
    );
    await expect.poll(() => holds.uses.length, { interval: 1 }).toBe(2);
    holds.uses[1]?.ready();
    expect(await client.drain()).toMatchObject([{ header: { status: Status.KeyDoesNotExist } }]);
    expect(holds.uses[1]?.ended).toEqual([false]);
    client.socket.destroy();
  });

  it("answers the use of a single-use key that is refused by its own error, and the cache keeps the key", async () => {
    const client = await EmbeddedClient.connect(port, "once");
    await client.put("code", "v");
    const use = { key: text("code"), entryVersion: 1n };
    client.socket.write(client.frame(client.request("removeIfUnmodified", use)));
    await expect.poll(() => holds.uses.length, { interval: 1 }).toBe(1);
    holds.uses[0]?.ready("nyc cannot be asked");
    expect(await client.drain()).toMatchObject([
      {
        op: "error",
        header: { status: Status.CommandTimeout },
        message: "isthmus: nyc cannot be asked",
      },
    ]);
    expect(await client.get("code")).toBe("v");
    // One whose client goes first is told that it may have been done.
    client.socket.write(client.frame(client.request("removeIfUnmodified", use)));
    await expect.poll(() => holds.uses.length, { interval: 1 }).toBe(2);
    client.socket.destroy();
    await expect.poll(() => holds.uses[1]?.ended, { interval: 1 }).toEqual([true]);
  });

  it("answers as the cache did once the hold ends, and by its own error when it failed", async () => {
    const client = await EmbeddedClient.connect(port, "held");
    const previous = await EmbeddedClient.connect(servers[0]?.port ?? 0, "held");
    await previous.put("p", "before");
    client.socket.write(client.frame(client.request("put", put("p", "after"), { flags: 1 })));
    (await holds.next())(undefined);
    expect(await client.drain()).toMatchObject([
      { header: { status: Status.OkWithPrevious }, previous: { value: text("before") } },
    ]);
    client.socket.write(client.frame(client.request("put", put("p", "failed"))));
    (await holds.next())("lon did not confirm the write");
    expect(await client.drain()).toMatchObject([
      {
        op: "error",
        header: { status: Status.CommandTimeout },
        message: "isthmus: lon did not confirm the write",
      },
    ]);
    client.socket.destroy();
    previous.socket.destroy();
  });

  it("does not hold what was not done, nor what is not replicated", async () => {
    const client = await EmbeddedClient.connect(port, "held");
    const missing = await client.ask("replace", put("nothing", "v"));
    expect([missing.header.status, holds.dropped]).toEqual([Status.NotExecuted, 1]);
    await client.ask("put", put("k", "v"), { cache: "free" });
    expect(holds.begun).toEqual(["nothing"]);
    client.socket.destroy();
  });

  it("drops the holds of a client that is gone", async () => {
    const client = await EmbeddedClient.connect(port, "held");
    client.socket.write(client.frame(client.request("put", put("k", "v"))));
    await holds.next();
    client.socket.destroy();
    await expect
      .poll(() => [holds.dropped, door.stats.held, door.stats.connections])
      .toEqual([1, 0, 0]);
  });

  it("asks the server for no topology, and lets listeners hear of a write that hides from them", async () => {
    const client = await EmbeddedClient.connect(port, "held");
    const ping = await client.ask("ping", {}, { intelligence: Intelligence.HashDistributionAware });
    expect(ping.header.topology).toBeUndefined();
    const heard = await EmbeddedClient.connect(servers[0]?.port ?? 0, "held");
    await heard.ask("addClientListener", {
      listenerId: text("l"),
      includeState: false,
      filter: undefined,
      converter: undefined,
      useRawData: false,
      interests: 0,
    });
    client.socket.write(client.frame(client.request("put", put("hidden", "v"), { flags: 0x20 })));
    (await holds.next())(undefined);
    expect(await client.drain()).toHaveLength(1);
    expect(await heard.events()).toHaveLength(1);
    client.socket.destroy();
    heard.socket.destroy();
  });

  it.each([
    ["an operation that is unknown", "a00129fe00000100", "operation 0xfe", Status.UnknownOperation],
    [
      "a protocol version that is unknown",
      "a0010a01",
      "protocol version 10",
      Status.UnknownVersion,
    ],
  ])("answers %s with what it is, and ends the connection", async (_what, hex, said, status) => {
    const answer = await answerTo(Buffer.from(hex, "hex"));
    expect(answer.toString("latin1")).toContain(said);
    expect(answer[3]).toBe(status);
    expect(door.stats.protocolErrors).toBe(1);
  });

  it.each([
    ["TLS, for which it has no certificate", Buffer.from("1603010200010001", "hex")],
    ["another protocol", text("*1\r\n$4\r\nPING\r\n")],
    ["an id that is in use", twice()],
    ["a SASL layer that wraps what follows", wrapped()],
  ])("lets in no connection with %s", async (_what, bytes) => {
    await answerTo(bytes);
    expect(door.stats.protocolErrors).toBe(1);
  });

  it("takes requests in pieces of any size, many at once", async () => {
    const client = await EmbeddedClient.connect(port, "free");
    const frames = Array.from({ length: 200 }, (_, i) =>
      client.frame(client.request("put", put(`many-${i}`, "x".repeat(i)))),
    );
    const bytes = Buffer.concat(frames);
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 1_013)
      client.socket.write(bytes.subarray(at, at + size));
    expect(await client.drain()).toHaveLength(200);
    expect(await client.get("many-199")).toBe("x".repeat(199));
    client.socket.destroy();
  });

  it("sends a client away when no cache server takes its connection, and takes the next one that does", async () => {
    const dead = { host: "127.0.0.1", port: 1 };
    const alone = new FrontDoor({ listen, servers: [dead], holds, clock, logger });
    const other = new FrontDoor({ listen, servers: [dead, ...servers], holds, clock, logger });
    ({ port } = await alone.start());
    expect(await answerTo(Buffer.from([0xa0]))).toHaveLength(0);
    expect(alone.stats.unreachable).toBe(1);
    const client = await EmbeddedClient.connect((await other.start()).port, "free");
    await client.put("k", "v");
    expect(await client.get("k")).toBe("v");
    client.socket.destroy();
    await Promise.all([alone.stop(), other.stop()]);
  });

  it("when it stops, answers what is held, takes no further request, and ends", async () => {
    const client = await EmbeddedClient.connect(port, "held");
    client.socket.write(client.frame(client.request("put", put("k", "v"), { id: 9 })));
    const end = await holds.next();
    const closed = once(client.socket, "close");
    const stopping = door.stop();
    const late = connect(port, "127.0.0.1");
    const [refused] = (await once(late, "error")) as [Error];
    expect(refused.message).toContain("ECONNREFUSED");
    end(undefined);
    await stopping;
    await closed;
    expect(client.socket.bytesRead).toBeGreaterThan(0);
  });

  it("says which port it cannot have", async () => {
    const second = new FrontDoor({
      listen: { host: "127.0.0.1", port },
      servers,
      holds,
      clock,
      logger,
    });
    await expect(second.start()).rejects.toThrow(
      `the front door cannot listen on 127.0.0.1:${port}`,
    );
  });
});

/** Two writes with one id; the first is held. */
function twice(): Buffer {
  const header = (id: number) => ({ id, cache: "held" });
  const one = requestOf("put", header(5), put("k", "v"));
  return Buffer.concat([one, one]);
}

function wrapped(): Buffer {
  const response = text('username="u",realm="default",qop=auth-int,nc=00000001');
  return requestOf("auth", { id: 1, cache: "" }, { mechanism: "DIGEST-MD5", response });
}

function requestOf(
  op: "put" | "auth",
  header: { id: number; cache: string },
  body: object,
): Buffer {
  return encodeRequest({ op, header: requestHeader(header), ...body } as HotRodRequest);
}
