import type { Socket } from "node:net";

/** A client and its connection to a cache server between which bytes pass unread: HTTP, which Infinispan takes on the same port. */
export class PassedThrough {
  /** Resolves once both sides are closed. */
  readonly closed: Promise<void>;
  readonly #client: Socket;
  readonly #server: Socket;

  constructor(client: Socket, server: Socket) {
    this.#client = client;
    this.#server = server;
    this.closed = new Promise((resolve) => {
      const close = (): void => {
        this.destroy();
        resolve();
      };
      for (const socket of [client, server]) socket.on("error", close).on("close", close);
    });
  }

  start(): void {
    this.#client.pipe(this.#server).pipe(this.#client);
  }

  /** Nobody here knows where an answer ends. */
  end(): void {
    this.destroy();
  }

  destroy(): void {
    this.#client.destroySoon();
    this.#server.destroySoon();
  }
}
