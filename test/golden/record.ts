// Records golden vectors from real Infinispan servers: `npx tsc -b && node dist/test/golden/record.js`. Run by hand when
// the server's version changes; tokens, nonces, ports and times differ in every recording.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import { projectRoot } from "../../deploy/lab/which.ts";
import { EAGER_CONVERTER } from "../../topology/hotrod/eager-event.ts";
import { IMMORTAL, expirationOfMs } from "../../topology/hotrod/expiration.ts";
import type { HotRodResponse } from "../../topology/hotrod/messages.ts";
import { OCTET_STREAM } from "../../topology/hotrod/media-type.ts";
import { requestHeader } from "../../topology/hotrod/request.ts";
import { FrameClient, frameLines } from "../support/frame-client.ts";
import { JavaClient } from "../support/java-client.ts";
import { RecordingProxy } from "../support/recording-proxy.ts";

const OCTETS = { mediaType: "application/octet-stream" };
const TOPOLOGY_NONE = 0xffffffff;

function save(name: string, origin: string, lines: readonly string[]): void {
  const header = `# Recorded from Infinispan Server 16.0.7 (OpenJDK 17) by test/golden/record.ts: ${origin}`;
  writeFileSync(join(projectRoot(), "test", "golden", name), `${[header, ...lines].join("\n")}\n`);
}

/** What the Java client 16.0.7 sends to log in, put, get and log in with a wrong password. */
async function recordLogins(): Promise<void> {
  await using server = await InfinispanServer.start({
    name: "secure",
    caches: { bin: OCTETS },
    auth: { mechanisms: ["SCRAM-SHA-512", "DIGEST-MD5"], users: { isthmus: "open sesame" } },
  });
  await using java = await JavaClient.start();
  const lines: string[] = [];
  for (const mechanism of ["SCRAM-SHA-512", "DIGEST-MD5"] as const) {
    for (const password of ["open sesame", "open barley"]) {
      await using proxy = await RecordingProxy.start(server);
      const login = { mechanism, username: "isthmus", password, maxRetries: 0 };
      const connection = await java.connect(proxy.address, { ...login, intelligence: "BASIC" });
      const cache = connection.cache("bin", OCTETS.mediaType);
      await cache.put(Buffer.from([0]), Buffer.from([1])).catch(() => {});
      lines.push(`### ${mechanism}, password ${password}`, ...frameLines(proxy.records, 1));
    }
  }
  save("hotrod-logins.txt", "logins of the Java client 16.0.7, user isthmus", lines);
}

/** One hand-made client whose frames are kept under titles. */
class Session implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #proxy: RecordingProxy;
  readonly #client: FrameClient;
  #id = 0;

  private constructor(proxy: RecordingProxy, client: FrameClient) {
    this.#proxy = proxy;
    this.#client = client;
  }

  static async start(server: InfinispanServer): Promise<Session> {
    const proxy = await RecordingProxy.start(server);
    return new Session(proxy, await FrameClient.connect(proxy.port));
  }

  async ask(
    title: string,
    cache: string,
    request: { op: string } & Record<string, unknown>,
    given: { intelligence?: number; topologyId?: number } = {},
  ): Promise<HotRodResponse[]> {
    const before = frameLines(this.#proxy.records, 1).length;
    const types = { keyMediaType: OCTET_STREAM, valueMediaType: OCTET_STREAM };
    const header = requestHeader({ id: ++this.#id, cache, ...types, ...given });
    const answers = await this.#client.ask({ ...request, header } as never);
    this.lines.push(`### ${title}`, ...frameLines(this.#proxy.records, 1).slice(before));
    return answers;
  }

  async listen(cache: string): Promise<void> {
    await this.ask("addClientListener eager, raw, all events", cache, {
      op: "addClientListener",
      listenerId: Buffer.alloc(16, 0x11),
      includeState: false,
      filter: undefined,
      converter: { name: EAGER_CONVERTER, params: [] },
      useRawData: true,
      interests: 15,
    });
  }

  async putAllAndClear(cache: string): Promise<void> {
    const entries = ["a", "b", "c", "d"].map((key) => ({
      key: Buffer.from(key),
      value: Buffer.from([0, 0xff]),
    }));
    await this.ask("putAll of four entries", cache, {
      op: "putAll",
      expiration: IMMORTAL,
      entries,
    });
    await this.ask("clear of four entries", cache, { op: "clear" });
  }

  async iterate(cache: string): Promise<void> {
    const started = await this.ask("iterationStart with metadata, batch 10", cache, {
      op: "iterationStart",
      segments: undefined,
      filterConverter: undefined,
      batchSize: 10,
      includeMetadata: true,
    });
    const { iterationId } = started[0] as HotRodResponse & { iterationId: string };
    for (let left = 1; left > 0;) {
      const next = await this.ask("iterationNext", cache, { op: "iterationNext", iterationId });
      left = (next[0] as HotRodResponse & { entries: unknown[] }).entries.length;
    }
    await this.ask("iterationEnd", cache, { op: "iterationEnd", iterationId });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.#proxy[Symbol.asyncDispose]();
  }
}

async function recordOneServer(): Promise<void> {
  await using server = await InfinispanServer.start({
    name: "alone",
    caches: { counted: OCTETS, plain: { ...OCTETS, statistics: false } },
  });
  await using session = await Session.start(server);
  await session.ask("stats of a cache that keeps statistics", "counted", { op: "stats" });
  await session.ask("stats of a cache that keeps none", "plain", { op: "stats" });
  await session.listen("plain");
  await session.putAllAndClear("plain");
  save("hotrod-one-server.txt", "one node, hand-made requests", session.lines);
}

async function recordTwoServers(): Promise<void> {
  const caches = { bin: OCTETS };
  await using a = await InfinispanServer.start({ name: "a", clusterName: "pair", caches });
  await using b = await InfinispanServer.start({ name: "b", joins: a, caches });
  await using session = await Session.start(b);
  for (const intelligence of [2, 3]) {
    const given = { intelligence, topologyId: TOPOLOGY_NONE };
    await session.ask(
      `ping, intelligence ${intelligence}, no topology known`,
      "bin",
      { op: "ping" },
      given,
    );
    const title = `get of a missing key, intelligence ${intelligence}, no topology known`;
    await session.ask(title, "bin", { op: "get", key: Buffer.from("none") }, given);
  }
  await session.ask("stats", "bin", { op: "stats" });
  await session.listen("bin");
  await session.putAllAndClear("bin");
  for (let i = 0; i < 12; i++) {
    await session.ask(`put ${i}`, "bin", {
      op: "put",
      key: Buffer.from(`key-${i}`),
      value: Buffer.from(`value-${i}`),
      expiration: [IMMORTAL, expirationOfMs(60_000, -1), expirationOfMs(60_000, 30_000)][i % 3],
    });
  }
  await session.iterate("bin");
  save("hotrod-two-servers.txt", "two nodes, hand-made requests to the second", session.lines);
}

await recordLogins();
await recordOneServer();
await recordTwoServers();
