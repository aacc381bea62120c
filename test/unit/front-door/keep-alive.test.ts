import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { FrontDoor } from "../../../site-agent/front-door/front-door.ts";
import { MemoryLogger, realClock } from "../../support/real-time.ts";
import { ScriptedHotRod } from "../../support/scripted-hot-rod.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };
const KEEP_ALIVE_TIMER = "02";

/** What the kernel waits for on the socket of this process with these ports; "" where it does not tell. */
function timerOf(localPort: number, remotePort: number): string {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n");
  const row = rows
    .map((line) => line.trim().split(/\s+/))
    .find(([, local = "", remote = ""]) => {
      return local.endsWith(`:${hex(localPort)}`) && remote.endsWith(`:${hex(remotePort)}`);
    });
  return row?.[5]?.slice(0, 2) ?? "";
}

describe.skipIf(process.platform !== "linux")("a front door", () => {
  it("finds out, by probes of the kernel, a client or a cache server whose machine is gone", async () => {
    await using server = await ScriptedHotRod.start();
    const door = new FrontDoor({
      listen: LOCAL,
      servers: [{ ...LOCAL, port: server.port }],
      holds: { replicates: () => false, use: () => undefined, begin: () => undefined },
      clock: realClock,
      logger: new MemoryLogger(),
    });
    const { port } = await door.start();
    const client = connect(port, "127.0.0.1");
    await once(client, "connect");
    client.write(Buffer.from([0xa0]));
    await expect.poll(() => server.clients.length).toBe(1);
    const { port: clientPort } = client.address() as AddressInfo;
    const upstreamPort = server.clients[0]?.socket.remotePort ?? 0;
    await expect.poll(() => timerOf(port, clientPort)).toBe(KEEP_ALIVE_TIMER);
    await expect.poll(() => timerOf(upstreamPort, server.port)).toBe(KEEP_ALIVE_TIMER);
    client.destroy();
    await door.stop();
  });
});
