import { once } from "node:events";
import { createServer } from "node:net";
import type { Server } from "node:net";

/**
 * Below where systems take the ports of outgoing connections from (Linux: 32768): a server that is killed finds its port free
 * when it starts again, however many clients tried to reach it meanwhile.
 */
const PORTS = { first: 10_240, last: 32_767 };

/** So many are tried for one. */
const TRIES_MAX = 100;

/** `n` TCP ports of 127.0.0.1 that were free a moment ago, all different. */
export async function freePorts(n: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  try {
    // All are held open together, or the same one could be found twice.
    for (let i = 0; i < n; i++) {
      const [server, port] = await holdOne();
      held.push(server);
      ports.push(port);
    }
    return ports;
  } finally {
    for (const server of held) server.close();
  }
}

async function holdOne(): Promise<[Server, number]> {
  for (let tries = 1; ; tries++) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first + 1));
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      return [server, port];
    } catch (error) {
      if (tries >= TRIES_MAX) throw error;
    }
  }
}
