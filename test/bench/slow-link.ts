import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Toxiproxy } from "../../deploy/drills/toxiproxy.ts";
import { systemClock } from "../../deploy/site/system.ts";
import { quantile } from "./machine.ts";

const PINGS = 1_000;

/** A way to a port of 127.0.0.1 that takes so many ms in either direction. */
export async function slowLink(
  port: number,
  oneWayMs: number,
  logFile: string,
): Promise<Toxiproxy> {
  const link = await Toxiproxy.before(port, logFile);
  for (const stream of ["upstream", "downstream"] as const)
    await link.poison("latency", stream, { latency: oneWayMs, jitter: 0 });
  return link;
}

/** How long such a link really takes there and back, in ms: single bytes, one after the other as fast as every 2 ms. */
export async function roundTripOf(
  oneWayMs: number,
  folder: string,
): Promise<{ p50: number; p99: number }> {
  const echo = createServer({ noDelay: true }, (socket) => socket.pipe(socket)).listen(0);
  await once(echo, "listening");
  const { port } = echo.address() as AddressInfo;
  await using link = await slowLink(port, oneWayMs, join(folder, "toxiproxy-echo.log"));
  const socket = connect({ host: "127.0.0.1", port: link.port, noDelay: true });
  await once(socket, "connect");
  const sentAt: number[] = [];
  const tookMs: number[] = [];
  socket.on("data", (bytes: Buffer) => {
    for (const _ of bytes) tookMs.push(performance.now() - (sentAt[tookMs.length] ?? 0));
  });
  for (let i = 0; i < PINGS; i++) {
    sentAt.push(performance.now());
    socket.write("!");
    await systemClock.sleep(2);
  }
  while (tookMs.length < PINGS) await systemClock.sleep(5);
  socket.destroy();
  echo.close();
  return { p50: quantile(tookMs, 0.5), p99: quantile(tookMs, 0.99) };
}
