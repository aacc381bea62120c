import { describe, expect, it } from "vitest";
import { HotRodPool } from "../../../site-agent/connector/pool.ts";
import type { PoolLimits } from "../../../site-agent/connector/pool.ts";
import { IsthmusError } from "../../../topology/errors.ts";
import type { HotRodRequest } from "../../../topology/hotrod/messages.ts";
import { Status } from "../../../topology/hotrod/opcodes.ts";
import { MemoryLogger, realClock, realRandom } from "../../support/real-time.ts";
import { answerTo, pong, ScriptedHotRod } from "../../support/scripted-hot-rod.ts";
import type { Script, ScriptedClient } from "../../support/scripted-hot-rod.ts";

const CACHE = "sessions";
const READ = [{ cache: CACHE }, { key: Buffer.from("k") }] as const;
const QUICK = { retryMinMs: 1, retryMaxMs: 5, notReadyMinMs: 20, notReadyMaxMs: 80 };

function poolOf(servers: readonly ScriptedHotRod[], limits: Partial<PoolLimits> = QUICK) {
  const pool = new HotRodPool({
    servers: servers.map(({ port }) => ({ host: "127.0.0.1", port })),
    clock: realClock,
    random: realRandom,
    logger: new MemoryLogger(),
    limits,
  });
  return Object.assign(pool, { [Symbol.dispose]: () => pool.close() });
}

const works: Script = (request, client) => {
  if (request.op !== "containsKey") throw new Error(`unexpected ${request.op}`);
  client.send({ op: request.op, header: answerTo(request) });
};

const says =
  (status: number, message: string, id?: number) =>
  (request: HotRodRequest, client: ScriptedClient): void => {
    const header = answerTo(request, status);
    client.send({ op: "error", header: { ...header, id: id ?? header.id }, message });
  };

/** Reads until it holds. A read that fails is of no interest here. */
async function readUntil(pool: HotRodPool, holds: () => boolean, what: string): Promise<void> {
  const end = realClock.monotonic() + 5_000;
  while (!holds()) {
    if (realClock.monotonic() > end) throw new Error(`waited for ${what}`);
    await pool.request("containsKey", ...READ).catch(() => undefined);
    await realClock.sleep(1);
  }
}

async function twoServers(): Promise<readonly [ScriptedHotRod, ScriptedHotRod]> {
  const both = [await ScriptedHotRod.start(), await ScriptedHotRod.start()] as const;
  for (const server of both) server.script = works;
  return both;
}

/** A pool that used two servers, of which the second is now gone and was noticed to be. */
async function afterLoss(limits: Partial<PoolLimits> = QUICK) {
  const [one, two] = await twoServers();
  const pool = poolOf([one, two], limits);
  await readUntil(pool, () => two.clients.length > 0 && one.requests.length > 0, "both in use");
  await two[Symbol.asyncDispose]();
  const gone = `127.0.0.1:${two.port}`;
  const end = realClock.monotonic() + 5_000;
  let found = (await pool.each()).get(gone);
  while (!(found instanceof IsthmusError && found.message.includes("ECONNREFUSED"))) {
    if (realClock.monotonic() > end) throw new Error("waited for a refused connection");
    await realClock.sleep(1);
    found = (await pool.each()).get(gone);
  }
  return { pool, one, port: two.port };
}

describe("a server that comes back while another works", () => {
  it("gets one PING of a cache at a time, less and less often, and no operation until it answers well", async () => {
    const { pool, one, port } = await afterLoss();
    await using back = await ScriptedHotRod.start(port);
    const probes: { readonly at: number; readonly client: ScriptedClient }[] = [];
    back.cachePings = (request, client) => {
      expect(request.header.cache).toBe(CACHE);
      probes.push({ at: realClock.monotonic(), client });
      says(Status.IllegalLifecycle, "not running")(request, client);
    };
    back.script = works;
    await readUntil(pool, () => probes.length === 4, "probes");
    expect(back.requests).toEqual([]);
    expect(new Set(probes.map(({ client }) => client)).size).toBe(4);
    expect(back.clients.length).toBe(4);
    const pauses = probes.slice(1).map(({ at }, i) => at - (probes[i]?.at ?? 0));
    // Doubled, and at least half of that by the jitter; a timer may fire a millisecond early.
    for (const [i, pause] of pauses.entries())
      expect(pause).toBeGreaterThanOrEqual(QUICK.notReadyMinMs * 2 ** i * 0.5 - 1);
    pool.close();
    await one[Symbol.asyncDispose]();
  });

  it("carries operations again once it answered the PING well", async () => {
    const { pool, one, port } = await afterLoss();
    await using back = await ScriptedHotRod.start(port);
    let probed = 0;
    back.cachePings = (request, client) => {
      expect(back.requests).toEqual([]);
      probed++;
      client.send(pong(request.header.id));
    };
    back.script = works;
    // What the first has to do is never answered, so that the other has less.
    one.script = () => undefined;
    const end = realClock.monotonic() + 5_000;
    while (back.requests.length === 0 && realClock.monotonic() < end) {
      void pool.request("containsKey", ...READ).catch(() => undefined);
      await realClock.sleep(2);
    }
    expect(back.requests.length).toBeGreaterThan(0);
    // Its other connections need none.
    expect(probed).toBe(1);
    pool.close();
    await one[Symbol.asyncDispose]();
  });

  it("is let go when it does not answer the PING in time", async () => {
    const { pool, one, port } = await afterLoss({ ...QUICK, probeTimeoutMs: 20 });
    await using back = await ScriptedHotRod.start(port);
    const closed: ScriptedClient[] = [];
    back.cachePings = (_request, client) => {
      client.socket.once("close", () => closed.push(client));
    };
    await readUntil(pool, () => closed.length === 2, "two probes that were given up");
    expect(back.requests).toEqual([]);
    pool.close();
    await one[Symbol.asyncDispose]();
  });
});

describe("a server that says that it is not ready", () => {
  it.each([
    ["IllegalLifecycle", says(Status.IllegalLifecycle, "IllegalLifecycleStateException")],
    ["a cache that is not ready", says(Status.ServerError, "ISPN000000: Cache not ready")],
    ["InvalidMagicId", says(Status.InvalidMagicOrId, "InvalidMagicIdException", 0)],
  ])(
    "%s: all its connections are closed, and nobody is sent there meanwhile",
    async (_, answer) => {
      const pause = { ...QUICK, notReadyMinMs: 60_000, notReadyMaxMs: 60_000 };
      const [one, two] = await twoServers();
      await using first = one;
      await using second = two;
      using pool = poolOf([first, second], pause);
      await readUntil(pool, () => second.clients.length === 2, "both in use");
      await pool.each();
      second.script = answer;
      first.script = () => undefined;
      const before = second.requests.length;
      while (second.requests.length === before) {
        void pool.request("containsKey", ...READ).catch(() => undefined);
        await realClock.sleep(1);
      }
      first.script = works;
      const isClosed = () => second.clients.every(({ socket }) => socket.destroyed);
      await readUntil(pool, isClosed, "closed connections");
      const count = [second.clients.length, second.requests.length];
      for (let i = 0; i < 20; i++) await pool.request("containsKey", ...READ);
      for (let i = 0; i < 5; i++)
        expect((await pool.dedicated()).address).toBe(`127.0.0.1:${first.port}`);
      const found = (await pool.each()).get(`127.0.0.1:${second.port}`);
      expect(found).toBeInstanceOf(IsthmusError);
      expect([second.clients.length, second.requests.length]).toEqual(count);
    },
  );
});
