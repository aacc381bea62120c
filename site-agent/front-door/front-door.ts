import { readFileSync } from "node:fs";
import { createServer as createTcpServer } from "node:net";
import type { Server, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { REQUEST_MAGIC } from "../../topology/hotrod/opcodes.ts";
import {
  DOOR_CLOSE_MS_MAX,
  DOOR_CONNECT_MS_MAX,
  DOOR_CONNECTIONS_MAX,
  DOOR_SILENT_MS_MAX,
} from "../../topology/limits.ts";
import type { Clock, Logger } from "../../topology/ports.ts";
import { openSocket, type ServerAddress, type TlsOptions } from "../connector/socket.ts";
import { ClientConnection } from "./client-connection.ts";
import { noDoorStats } from "./door-stats.ts";
import { PassedThrough } from "./passed-through.ts";
import type { WriteHolds } from "./write-holds.ts";

/** How a front door is set up. */
export interface FrontDoorOptions {
  /** Port 0 takes any that is free. */
  readonly listen: ServerAddress;
  /** TLS toward the clients: paths of PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** The local cache servers, taken in turn. */
  readonly servers: readonly ServerAddress[];
  readonly serverTls?: TlsOptions | undefined;
  readonly holds: WriteHolds;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A connection of a client, whatever it speaks. */
interface Passage {
  readonly closed: Promise<void>;
  start(): void;
  end(): void;
  destroy(): void;
}

/**
 * A Hot Rod proxy in front of the local cache servers, one connection there for each of a client's. Reads and whatever is
 * not replicated pass at once; a write under `sync` is forwarded at once and answered when its targets have it. HTTP on the
 * same port passes unread; nothing else is let in, so that no write gets by unheld in a form that cannot be read.
 */
export class FrontDoor {
  readonly stats = noDoorStats();
  readonly #options: FrontDoorOptions;
  readonly #passages = new Set<Passage>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  #next = 0;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
  }

  /** Listens, and returns the port. To be called once. @throws DoorListen, also for a certificate that cannot be read */
  async start(): Promise<{ port: number }> {
    const { listen, tls, logger } = this.#options;
    const probes = { keepAlive: true, keepAliveInitialDelay: DOOR_SILENT_MS_MAX };
    const options = { pauseOnConnect: true, noDelay: true, ...probes };
    const onClient = (client: Socket): void => void this.#accept(client);
    try {
      const server =
        tls === undefined
          ? createTcpServer(options, onClient)
          : createTlsServer(
              { ...options, cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) },
              onClient,
            );
      server.maxConnections = DOOR_CONNECTIONS_MAX;
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(listen.port, listen.host, resolve);
      });
      this.#server = server;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `the front door cannot listen on ${listen.host}:${listen.port}: ${why}`;
      throw new IsthmusError(ErrorCode.DoorListen, message, { cause });
    }
    const address = this.#server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : listen.port;
    logger.info({ ...this.address, tls: tls !== undefined }, "the front door listens");
    return { port: this.#port };
  }

  /** Where it listens; port 0 before it does. */
  get address(): ServerAddress {
    return { host: this.#options.listen.host, port: this.#port };
  }

  /** Takes no new connection and no further request; resolves once every held write is answered, or cut off in time. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const passage of this.#passages) passage.end();
    const cancel = this.#options.clock.after(DOOR_CLOSE_MS_MAX, () => {
      for (const passage of this.#passages) passage.destroy();
    });
    await Promise.all([...this.#passages].map((passage) => passage.closed));
    cancel();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #accept(client: Socket): Promise<void> {
    const { stats } = this;
    const { holds, logger } = this.#options;
    stats.connections += 1;
    stats.connectionsTotal += 1;
    this.#sockets.add(client);
    client.on("close", () => {
      stats.connections -= 1;
      this.#sockets.delete(client);
    });
    // Until its passage is made nobody else hears of it.
    client.on("error", () => client.destroy());
    const first = await firstByte(client);
    if (first === undefined) return;
    if (first !== REQUEST_MAGIC && !isLetter(first)) {
      stats.protocolErrors += 1;
      const found =
        first === TLS_HANDSHAKE
          ? "TLS, for which it has no certificate"
          : `0x${first.toString(16)}`;
      logger.warn(
        { code: ErrorCode.HotRodProtocol, found },
        "the front door lets in Hot Rod and HTTP alone",
      );
      client.destroy();
      return;
    }
    const upstream = await this.#connect();
    if (upstream === undefined || client.destroyed || this.#server === undefined) {
      upstream?.destroy();
      client.destroy();
      return;
    }
    const passage =
      first === REQUEST_MAGIC
        ? new ClientConnection(client, upstream, { holds, stats, logger })
        : new PassedThrough(client, upstream);
    this.#passages.add(passage);
    void passage.closed.then(() => this.#passages.delete(passage));
    passage.start();
  }

  /** To the next server that takes the connection; undefined: none does. */
  async #connect(): Promise<Socket | undefined> {
    const { servers, serverTls, clock, logger } = this.#options;
    let failure: unknown;
    for (const _ of servers) {
      const server = servers[this.#next++ % servers.length] as ServerAddress;
      try {
        const socket = await openSocket(server, serverTls, clock, DOOR_CONNECT_MS_MAX);
        return socket.setKeepAlive(true, DOOR_SILENT_MS_MAX);
      } catch (error) {
        failure = error;
      }
    }
    this.stats.unreachable += 1;
    logger.warn(
      { err: failure, code: ErrorCode.CacheUnreachable },
      "no cache server takes a client's connection",
    );
    return undefined;
  }
}

const TLS_HANDSHAKE = 0x16;

/** Every HTTP request begins with its method. */
const isLetter = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;

/** Waits for a client's first byte and leaves it unread; undefined: the client is gone. */
function firstByte(client: Socket): Promise<number | undefined> {
  return new Promise((resolve) => {
    const settle = (byte: number | undefined): void => {
      client.off("readable", look);
      client.off("close", onClose);
      resolve(byte);
    };
    const onClose = (): void => settle(undefined);
    const look = (): void => {
      const chunk = client.read() as Buffer | null;
      if (chunk === null) return;
      client.unshift(chunk);
      client.pause();
      settle(chunk[0]);
    };
    client.on("readable", look);
    client.on("close", onClose);
  });
}
