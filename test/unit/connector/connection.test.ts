import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { CONNECTION_LIMITS, HotRodConnection } from "../../../site-agent/connector/connection.ts";
import type { ConnectionLimits } from "../../../site-agent/connector/connection.ts";
import { isOutcomeUnknown, statusOf } from "../../../site-agent/connector/failure.ts";
import { openSocket } from "../../../site-agent/connector/socket.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { HotRodRequest } from "../../../topology/hotrod/messages.ts";
import { Status } from "../../../topology/hotrod/opcodes.ts";
import { realClock } from "../../support/real-time.ts";
import { answerTo, ScriptedHotRod } from "../../support/scripted-hot-rod.ts";
import type { ScriptedClient } from "../../support/scripted-hot-rod.ts";

const SCOPE = { cache: "c" };

async function connect(server: ScriptedHotRod, limits: Partial<ConnectionLimits> = {}) {
  const address = { host: "127.0.0.1", port: server.port };
  const socket = await openSocket(address, undefined, realClock, 2_000);
  const connection = new HotRodConnection(socket, `127.0.0.1:${server.port}`, realClock, {
    ...CONNECTION_LIMITS,
    ...limits,
  });
  return Object.assign(connection, { [Symbol.dispose]: () => connection.close() });
}

const get = (connection: HotRodConnection, key: string) =>
  connection.request("get", SCOPE, { key: Buffer.from(key) });

/** Answers a get with its own key. */
function echo(request: HotRodRequest, client: ScriptedClient): void {
  if (request.op !== "get") throw new Error(`unexpected ${request.op}`);
  client.send({ op: "get", header: answerTo(request), value: request.key });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = realClock.monotonic() + 5_000;
  while (!condition()) {
    if (realClock.monotonic() > end) throw new Error(`waited for ${what}`);
    await nextTurn();
  }
}

async function errorOf(promise: Promise<unknown>): Promise<IsthmusError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(IsthmusError);
  return error as IsthmusError;
}

describe("a Hot Rod connection", () => {
  it("matches answers by message id, in whatever order they come", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server);
    const held: Array<() => void> = [];
    server.script = (request, client) => {
      held.unshift(() => echo(request, client));
      if (held.length === 3) for (const answer of held) answer();
    };
    const values = await Promise.all(["a", "b", "c"].map((key) => get(connection, key)));
    expect(values.map(({ value }) => value?.toString())).toEqual(["a", "b", "c"]);
  });

  it("sends what gathers in one turn in one write, and asks for no topology", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server);
    server.script = echo;
    await Promise.all(Array.from({ length: 100 }, (_, i) => get(connection, `key-${i}`)));
    expect(server.requests.length).toBe(100);
    expect(server.clients[0]?.reads).toBe(1);
    expect(new Set(server.requests.map(({ header }) => header.intelligence))).toEqual(new Set([1]));
  });

  it("lets at most so many be in flight, and the others follow in order", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server, { inFlightMax: 4 });
    const answers: Array<() => void> = [];
    let inFlightMost = 0;
    server.script = (request, client) => {
      answers.push(() => echo(request, client));
      inFlightMost = Math.max(inFlightMost, answers.length);
    };
    const keys = Array.from({ length: 20 }, (_, i) => `${i}`);
    const all = Promise.all(keys.map((key) => get(connection, key)));
    expect(connection.load).toBe(20);
    for (let done = 0; done < 20; done++) {
      await until(() => answers.length > 0, "a request");
      answers.shift()?.();
    }
    expect((await all).map(({ value }) => value?.toString())).toEqual(keys);
    expect(inFlightMost).toBe(4);
    expect(connection.load).toBe(0);
  });

  it("gives up on an answer in time, and takes it without harm when it comes late", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server, { operationTimeoutMs: 60, inFlightMax: 2 });
    let late = (): void => undefined;
    server.script = (request, client) => {
      const answer = (): void => echo(request, client);
      if (request.op === "get" && request.key.toString() === "slow") late = answer;
      else answer();
    };
    const error = await errorOf(get(connection, "slow"));
    expect(error.code).toBe(ErrorCode.HotRodTimeout);
    expect(isOutcomeUnknown(error)).toBe(true);
    expect(connection.load).toBe(1);
    late();
    expect((await get(connection, "next")).value?.toString()).toBe("next");
    expect(connection.load).toBe(0);
  });

  it("closes when not even a ping is answered: what was sent is unknown, what waited was not done", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server, {
      pingAfterMs: 50,
      pingTimeoutMs: 80,
      inFlightMax: 1,
    });
    server.answersPings = false;
    const sent = errorOf(get(connection, "sent"));
    const waiting = errorOf(get(connection, "waiting"));
    expect((await connection.closed).message).toContain("silent");
    expect((await sent).code).toBe(ErrorCode.HotRodTimeout);
    expect((await waiting).code).toBe(ErrorCode.CacheUnreachable);
    expect((await errorOf(get(connection, "later"))).code).toBe(ErrorCode.CacheUnreachable);
    expect(server.requests.length).toBe(1);
  });

  it("stays open as long as pings are answered, however quiet it is", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server, { pingAfterMs: 20, pingTimeoutMs: 200 });
    const reads = (): number => server.clients[0]?.reads ?? 0;
    await until(() => reads() >= 4, "four pings");
    expect(connection.isOpen).toBe(true);
  });

  it("fails everything pending, with the server's name, when the server closes", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server);
    server.script = (_, client) => client.socket.destroy();
    const error = await errorOf(get(connection, "k"));
    expect(error.code).toBe(ErrorCode.HotRodTimeout);
    expect(error.message).toContain(`127.0.0.1:${server.port}`);
    expect(connection.isOpen).toBe(false);
  });

  it.each([
    ["bytes that are no Hot Rod", (client: ScriptedClient) => client.socket.write("HTTP/1.1 400")],
    [
      "an answer to no request",
      (client: ScriptedClient) =>
        client.send({
          op: "error",
          header: { id: 999, status: 0x85, topology: undefined },
          message: "?",
        }),
    ],
  ])("closes at %s", async (_, send) => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server);
    server.script = (_request, client) => {
      send(client);
    };
    expect(isOutcomeUnknown(await errorOf(get(connection, "k")))).toBe(true);
    expect(connection.isOpen).toBe(false);
  });

  it.each([
    [0x84, "CacheNotFoundException: no", ErrorCode.CacheMissing, false],
    [0x84, "parse error", ErrorCode.HotRodServer, false],
    [0x85, "SecurityException: ISPN006017: no", ErrorCode.CacheAuthFailed, true],
    [0x85, "boom", ErrorCode.HotRodServer, true],
    [0x86, "too slow", ErrorCode.HotRodServer, true],
    [0x87, "node is gone", ErrorCode.HotRodServer, true],
    [0x88, "stopping", ErrorCode.HotRodServer, true],
  ])("status 0x%s with %s becomes %s", async (status, message, code, unknown) => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server);
    server.script = (request, client) =>
      client.send({ op: "error", header: answerTo(request, status), message });
    const error = await errorOf(get(connection, "k"));
    expect(error.code).toBe(code);
    expect(statusOf(error)).toBe(status);
    expect(isOutcomeUnknown(error)).toBe(unknown);
    // A server that is starting or stopping is to be left alone.
    expect(connection.foundNotReady).toBe(status === Status.IllegalLifecycle);
    expect(connection.isOpen).toBe(status !== Status.IllegalLifecycle);
  });

  it("hands an event to the listener that it is for, between answers", async () => {
    await using server = await ScriptedHotRod.start();
    using connection = await connect(server);
    const mine = Buffer.from("mine");
    const keys: string[] = [];
    connection.onEvents(mine, "c", (event) => keys.push(event.data.toString()));
    server.script = (request, client) => {
      for (const listenerId of [mine, Buffer.from("other")]) {
        client.send({
          op: "removed",
          header: { id: 0, status: 0, topology: undefined },
          listenerId,
          custom: 0,
          retried: false,
          data: listenerId,
          entryVersion: undefined,
        });
      }
      echo(request, client);
    };
    await get(connection, "k");
    expect(keys).toEqual(["mine"]);
  });
});
