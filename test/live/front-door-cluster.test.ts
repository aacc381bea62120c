// Goal: in front of a cluster of several servers too, a held write is answered when the other site has it: the event of a
// write comes to the listener's server, over the cluster if another one owns the key, before its answer goes to the client
// (decision 8). Method: two servers at nyc, writers through the front door at each of them, Infinispan's own Java client, which
// reads lon's Infinispan directly at each answer.
import { describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const caches = { sessions: {} };
const WRITES = 4_000;

let door = "";

const sites = shared(async () => {
  const [port = 0] = await freePorts(1);
  door = `127.0.0.1:${port}`;
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches, nodes: 2, frontDoorPort: port },
      { name: "lon", caches },
    ],
    policies: ["{ match: sessions, mode: sync, timeout: 5s, onTimeout: fail }"],
  });
  await started.run();
  await until(
    "the front door is open",
    async () => started.site("nyc").site.frontDoor !== undefined,
  );
  return started;
});

describe("a front door before a cluster of two servers", () => {
  it("answers writes at either server when the other site's Infinispan has them, whichever owns the key (I5)", async () => {
    const direct = await sites().java.connect(sites().site("lon").nodes[0]?.address ?? "");
    const timeouts = { socketTimeoutMs: 20_000, maxRetries: 0 };
    // Each connection of the door's goes to the next server.
    const before = sites().site("nyc").site.frontDoor?.stats.connectionsTotal ?? 0;
    const through = await Promise.all(
      ["a-", "b-"].map(
        async (prefix) => [await sites().java.connect(door, timeouts), prefix] as const,
      ),
    );
    const found = await Promise.all(
      through.map(([connection, prefix]) =>
        connection.cache("sessions").heldWrites(direct, WRITES / 2, 8, prefix),
      ),
    );
    for (const { done, failures, misses, firstFault } of found)
      expect([done, failures, misses, firstFault]).toEqual([WRITES / 2, 0, 0, undefined]);
    const { connectionsTotal = 0 } = sites().site("nyc").site.frontDoor?.stats ?? {};
    expect(connectionsTotal - before).toBeGreaterThanOrEqual(2);
    const shares = await Promise.all(
      sites()
        .site("nyc")
        .nodes.map(async (node) => {
          const connection = await sites().java.connect(node.address, { intelligence: "BASIC" });
          const stats = await connection.cache("sessions").stats();
          return Number(stats.get("stores"));
        }),
    );
    // Both servers stored, so both were written at or owned what was.
    for (const stores of shares) expect(stores).toBeGreaterThan(WRITES / 10);
    await sites().level("sessions");
  }, 120_000);
});
