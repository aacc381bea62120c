import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

/** `n` TCP ports of 127.0.0.1 that were free a moment ago, all different. */
export async function freePorts(n: number): Promise<number[]> {
  const servers = Array.from({ length: n }, () => createServer());
  try {
    // All are held open together, or the kernel could hand out the same one twice.
    return await Promise.all(
      servers.map(async (server) => {
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        return (server.address() as AddressInfo).port;
      }),
    );
  } finally {
    for (const server of servers) server.close();
  }
}
