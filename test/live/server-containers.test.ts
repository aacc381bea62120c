// Goal: the live tests' servers run as well in containers: what a provider promises holds for both kinds.
// Method: one contract, asked of processes and of containers. The containers need a Docker daemon (DOCKER_HOST) and no registry;
// without a bridge or a firewall of its own this one does:
//   dockerd --host unix:///tmp/docker.sock --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs
import { connect } from "nats";
import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, it } from "vitest";
import { JavaClient } from "../support/java-client.ts";
import { containers } from "../support/server-containers.ts";
import { servers } from "../support/server-provider.ts";
import type { ServerProvider } from "../support/server-provider.ts";

const found = await containers().then(
  (provider) => ({ provider }),
  (error: unknown) => ({ reason: error instanceof Error ? error.message : String(error) }),
);
const reason = "reason" in found ? found.reason : undefined;
if (reason !== undefined) {
  process.stderr.write(`SKIPPED servers in containers: ${reason}\n`);
  if ((process.env["ISTHMUS_REQUIRE"] ?? "").split(",").includes("docker"))
    throw new Error(`ISTHMUS_REQUIRE asks for docker: ${reason}`);
}

const kinds: [kind: string, provider: ServerProvider | undefined][] = [
  ["processes", servers],
  ["containers", "provider" in found ? found.provider : undefined],
];

describe.each(kinds)("servers in %s", (_, provider) => {
  const there = (): ServerProvider => {
    if (provider === undefined) throw new Error("skipped without a provider");
    return provider;
  };

  it.skipIf(provider === undefined)("keep a stream over a crash, and link two sites", async () => {
    await using nyc = await there().nats({ domain: "nyc" });
    await using lon = await there().nats({ domain: "lon", leafRemotes: [nyc.leafUrl] });
    const before = await connect({ servers: nyc.url, reconnect: false });
    await (await jetstreamManager(before)).streams.add({ name: "LOG", subjects: ["log.>"] });
    await nyc.kill();
    await nyc.run();
    // Asked at the other site, through the leaf link.
    const client = await connect({ servers: lon.url });
    const streams = async () => {
      const manager = await jetstreamManager(client, { domain: "nyc", timeout: 1_000 });
      return (await manager.streams.info("LOG")).config.name;
    };
    await expect.poll(() => streams().catch(() => undefined), { timeout: 20_000 }).toBe("LOG");
    await client.close();
  });

  it.skipIf(provider === undefined)("serve Hot Rod to the Java client", async () => {
    await using infinispan = await there().infinispan({ name: "trial", caches: { demo: {} } });
    await using java = await JavaClient.start();
    const cache = (await java.connect(infinispan.address)).cache("demo");
    const [key, value] = [Buffer.from([0]), Buffer.from([1, 255])];
    await cache.put(key, value);
    expect(await cache.get(key)).toEqual(value);
  });
});
