// Goal: a site's process connects as the file says, or says what is wrong. Method: one real nats-server a test.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/nats-core";
import { describe, expect, it } from "vitest";
import { connectNats } from "../../gateway/link/connect.ts";
import type { NatsSettings } from "../../gateway/link/nats-options.ts";
import { makeCertificates } from "../../deploy/lab/certificates.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { until } from "../support/linked-sites.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";

const NEVER = new AbortController().signal;

function connecting(settings: Partial<NatsSettings>, waitMs = 10_000, signal = NEVER) {
  const logger = new MemoryLogger();
  const tools = { clock: realClock, random: realRandom, logger };
  const whole = { site: "nyc", servers: [], domain: "nyc", ...settings };
  return connectNats(whole, tools, waitMs, signal);
}

async function connects(settings: Partial<NatsSettings>): Promise<void> {
  const link = await connecting(settings);
  expect(link.connected).toBe(true);
  await link.close();
  expect(link.connected).toBe(false);
}

describe("connecting to a site's NATS", () => {
  it("fails at once when the server's JetStream domain is not the file's", async () => {
    await using server = await NatsServer.start({ domain: "paris" });
    await expect(connecting({ servers: [server.url] })).rejects.toMatchObject({
      code: ErrorCode.NatsWrongDomain,
      message: expect.stringMatching(/expected .*"nyc".* found domain "paris"/),
    });
  });

  it("fails at once when the credentials are refused, and takes a user from the URL", async () => {
    const config = 'authorization { user: "isthmus", password: "s3 cret" }';
    await using server = await NatsServer.start({ domain: "nyc", config });
    const refused = connecting({ servers: [server.url] });
    await expect(refused).rejects.toMatchObject({ code: ErrorCode.NatsAuthFailed });
    const wrong = `nats://isthmus:wrong@127.0.0.1:${server.port}`;
    await expect(connecting({ servers: [wrong] })).rejects.toMatchObject({
      code: ErrorCode.NatsAuthFailed,
      message: expect.not.stringContaining("wrong"),
    });
    await connects({ servers: [`nats://isthmus:s3%20cret@127.0.0.1:${server.port}`] });
  });

  it("takes an nkey seed from a file", async () => {
    const key = nkeys.createUser();
    const config = `authorization { users: [ { nkey: ${key.getPublicKey()} } ] }`;
    await using server = await NatsServer.start({ domain: "nyc", config });
    const folder = mkdtempSync(join(tmpdir(), "isthmus-nkey-"));
    const nkeySeedFile = join(folder, "nyc.seed");
    writeFileSync(nkeySeedFile, `${Buffer.from(key.getSeed()).toString()}\n`);
    await connects({ servers: [server.url], nkeySeedFile });
    rmSync(folder, { recursive: true });
    await expect(connecting({ servers: [server.url], nkeySeedFile })).rejects.toMatchObject({
      code: ErrorCode.NatsAuthFailed,
      message: expect.stringContaining("sites.nyc.nats.nkeySeedFile"),
    });
  });

  it("speaks mutual TLS with the files that it is given, and never without them", async () => {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-tls-"));
    const { caFile, certFile, keyFile, clientCertFile, clientKeyFile } =
      await makeCertificates(folder);
    const files = `cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${caFile}"`;
    const config = `tls { ${files}, verify: true }`;
    await using server = await NatsServer.start({ domain: "nyc", config });
    const servers = [`tls://127.0.0.1:${server.port}`];
    const tls = { caFile, certFile: clientCertFile, keyFile: clientKeyFile };
    await connects({ servers, tls });
    for (const wrong of [{}, { caFile }, { ...tls, caFile: clientCertFile }])
      await expect(connecting({ servers, tls: wrong }, 0)).rejects.toMatchObject({
        code: ErrorCode.NatsUnreachable,
      });
    rmSync(folder, { recursive: true });
  });

  it("never falls back to plain text on a server without TLS", async () => {
    await using server = await NatsServer.start({ domain: "nyc" });
    const servers = [`tls://127.0.0.1:${server.port}`];
    await expect(connecting({ servers }, 0)).rejects.toMatchObject({
      code: ErrorCode.NatsUnreachable,
      message: expect.stringContaining("tls"),
    });
  });

  it("gives up on a server that is away after the time it was given", async () => {
    const server = await NatsServer.start({ domain: "nyc" });
    await server[Symbol.asyncDispose]();
    await expect(connecting({ servers: [server.url] }, 300)).rejects.toMatchObject({
      code: ErrorCode.NatsUnreachable,
      message: expect.stringContaining(server.url),
    });
  });

  it("waits for a server that comes late, and reconnects to one that comes back", async () => {
    await using server = await NatsServer.start({ domain: "nyc" });
    await server.stop();
    const waiting = connecting({ servers: [server.url] }, Number.POSITIVE_INFINITY);
    await server.run();
    const link = await waiting;
    const changes: boolean[] = [];
    link.onChange((connected) => changes.push(connected));
    await server.kill();
    await until("the loss is noticed", async () => !link.connected);
    await server.run();
    await until("it is back", async () => link.connected);
    expect(changes).toEqual([false, true]);
    await link.close();
  });

  it("notices a server that hangs within seconds", async () => {
    await using server = await NatsServer.start({ domain: "nyc" });
    const link = await connecting({ servers: [server.url] });
    server.process.signal("SIGSTOP");
    await until("the hang is noticed", async () => !link.connected, 10_000);
    server.process.signal("SIGCONT");
    await until("it is back", async () => link.connected);
    await link.close();
  });
});
