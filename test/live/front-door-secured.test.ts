// Goal: a front door before a secured Infinispan is no way around its security: TLS toward clients and toward the server, and
// every mechanism of SASL that does not wrap the stream passes through unread; what it cannot read is refused.
// Method: a real Infinispan with TLS and passwords, the front door alone before it, and Infinispan's own Java client. Who waits
// for whom is tested elsewhere: here each write of the cache is held for a moment.
import { request } from "node:https";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { FrontDoor } from "../../site-agent/front-door/front-door.ts";
import type { WriteHolds } from "../../site-agent/front-door/write-holds.ts";
import { JavaClient, type JavaConnectOptions } from "../support/java-client.ts";
import { MemoryLogger, realClock } from "../support/real-time.ts";
import { servers, shared } from "../support/server-provider.ts";

const PASSWORD = "pä=s,s-wörd";
const HELD_MS = 50;

const infinispan = shared(() =>
  servers.infinispan({
    name: "secured",
    caches: { sessions: {} },
    tls: true,
    auth: {
      mechanisms: ["SCRAM-SHA-512", "SCRAM-SHA-256", "DIGEST-MD5", "PLAIN"],
      users: { keycloak: PASSWORD },
    },
  }),
);
const java = shared(() => JavaClient.start(128));

/** Holds each write to `sessions` for {@link HELD_MS}. */
class BriefHolds implements WriteHolds {
  held = 0;

  replicates(): boolean {
    return true;
  }

  use(): undefined {
    return undefined;
  }

  begin(name: string) {
    if (name !== "sessions") return undefined;
    return {
      done: (onEnd: (end: undefined) => void) => {
        this.held += 1;
        realClock.after(HELD_MS, () => onEnd(undefined));
      },
      drop: () => undefined,
    };
  }
}

async function opened(isTls: boolean) {
  const { host, port, certificates } = infinispan();
  if (certificates === undefined) throw new Error("no certificates");
  const { certFile, keyFile, caFile } = certificates;
  const holds = new BriefHolds();
  const logger = new MemoryLogger();
  const door = new FrontDoor({
    listen: { host: "127.0.0.1", port: 0 },
    tls: isTls ? { certFile, keyFile } : undefined,
    servers: [{ host, port }],
    serverTls: { ca: readFileSync(caFile, "utf8") },
    holds,
    clock: realClock,
    logger,
  });
  const { port: at } = await door.start();
  const opening = { door, holds, logger, certificates, port: at, address: `127.0.0.1:${at}` };
  return Object.assign(opening, { [Symbol.asyncDispose]: () => door.stop() });
}

const login = (mechanism: JavaConnectOptions["mechanism"], password = PASSWORD) => ({
  ...(mechanism !== undefined && { mechanism }),
  username: "keycloak",
  password,
  maxRetries: 0,
});

describe("a front door before an Infinispan with TLS and passwords", () => {
  for (const isTls of [true, false]) {
    const how = isTls ? "over TLS" : "without TLS";
    it.each(["SCRAM-SHA-512", "SCRAM-SHA-256", "DIGEST-MD5", "PLAIN"] as const)(
      `lets clients log in ${how} by %s, holds their writes, and reads come through`,
      async (mechanism) => {
        await using opening = await opened(isTls);
        const { address, certificates, holds, door } = opening;
        const options = { ...login(mechanism), ...(isTls && { certificates }) };
        const connection = await java().connect(address, options);
        const cache = connection.cache("sessions");
        const key = Buffer.from(`${mechanism} ${how}`);
        const begin = performance.now();
        await cache.put(key, Buffer.from("value"));
        expect(performance.now() - begin).toBeGreaterThanOrEqual(HELD_MS - 5);
        expect((await cache.get(key))?.toString()).toBe("value");
        expect(holds.held).toBe(1);
        expect(door.stats).toMatchObject({ protocolErrors: 0, unreachable: 0 });
        await connection.close();
      },
    );
  }

  it("is no way around a wrong password", async () => {
    await using opening = await opened(true);
    const { address, certificates, holds } = opening;
    const connected = java().connect(address, { ...login("SCRAM-SHA-512", "wrong"), certificates });
    const used = connected.then((connection) => connection.cache("sessions").get(Buffer.from("k")));
    await expect(used).rejects.toThrow();
    expect(holds.held).toBe(0);
  });

  it("refuses a client that asks for TLS where it has no certificate, and says so once", async () => {
    await using opening = await opened(false);
    const { address, certificates, door, logger } = opening;
    const options = { ...login("SCRAM-SHA-512"), certificates };
    const used = java()
      .connect(address, options)
      .then((connection) => connection.cache("sessions").get(Buffer.from("k")));
    await expect(used).rejects.toThrow();
    expect(door.stats.protocolErrors).toBeGreaterThan(0);
    expect(JSON.stringify(logger.lines)).toContain("TLS, for which it has no certificate");
  });

  it("passes HTTPS on the same port through", async () => {
    await using opening = await opened(true);
    const { port, certificates, door } = opening;
    const ca = readFileSync(certificates.caFile);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const path = "/rest/v2/caches/sessions";
      request({ host: "127.0.0.1", port, path, ca, servername: "localhost" }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on("error", reject)
        .end();
    });
    // Its own answer to somebody without a password.
    expect(status).toBe(401);
    expect(door.stats.protocolErrors).toBe(0);
  });
});
