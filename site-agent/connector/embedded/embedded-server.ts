import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { EMBEDDED_REAP_MS } from "../../../topology/limits.ts";
import type { Clock, Logger, Random } from "../../../topology/ports.ts";
import { Caches } from "./caches.ts";
import { ClientConnection } from "./client-connection.ts";
import type { EmbeddedCache, EmbeddedCacheOptions } from "./embedded-cache.ts";
import { Listeners } from "./listeners.ts";

/** How an embedded server is set up. */
export interface EmbeddedServerOptions {
  /** Port 0 takes any that is free. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly caches: readonly EmbeddedCacheOptions[];
  /** Create a cache when a client names one that there is not. Default: no, clients can create it with a task. */
  readonly createMissing?: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * An in-memory Hot Rod server for demos, tests and sites that need no Infinispan: one node, no persistence, no
 * authentication, protocols 2.0 to 4.1. All that it holds is lost when the process ends; `bootId`, which STATS tells,
 * is how others find that out.
 */
export class EmbeddedServer {
  /** Random for each server. */
  readonly bootId: string;
  readonly #options: EmbeddedServerOptions;
  readonly #caches: Caches;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #stopReaping: () => void = () => {};

  constructor(options: EmbeddedServerOptions) {
    const { caches, createMissing, clock, random } = options;
    this.#options = options;
    this.bootId = random.bytes(8).toString("hex");
    this.#caches = new Caches(caches, createMissing ?? false, clock, random);
  }

  /** Listens, and returns the port. To be called once. @throws IsthmusError EmbeddedListen */
  async start(): Promise<{ port: number }> {
    const { listen, clock, logger } = this.#options;
    const listeners = new Listeners();
    const startedMs = clock.monotonic();
    const state = {
      caches: this.#caches,
      listeners,
      clock,
      logger,
      bootId: this.bootId,
      startedMs,
    };
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      void new ClientConnection(socket, state);
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => {
        const message = `the embedded cache cannot listen on ${listen.host}:${listen.port}: ${cause.message}`;
        reject(new IsthmusError(ErrorCode.EmbeddedListen, message, { cause }));
      });
      server.listen(listen.port, listen.host, resolve);
    });
    this.#reapLater();
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : listen.port;
    logger.info({ host: listen.host, port }, "embedded cache listens");
    return { port };
  }

  /** Stops listening and closes all connections. */
  async stop(): Promise<void> {
    this.#stopReaping();
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** The cache of that name, for use in this process; its writes raise events as any other's. @throws if there is none */
  cache(name: string): EmbeddedCache {
    return this.#caches.get(name);
  }

  #reapLater(): void {
    this.#stopReaping = this.#options.clock.after(EMBEDDED_REAP_MS, () => {
      for (const cache of this.#caches.all()) cache.reap();
      this.#reapLater();
    });
  }
}
