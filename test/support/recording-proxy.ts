import { once } from "node:events";
import { createServer, connect } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

/** Bytes that went one way in one piece; `up` is towards the server. */
export interface Recorded {
  readonly connection: number;
  readonly direction: "up" | "down";
  readonly bytes: Buffer;
}

/** A TCP proxy on 127.0.0.1 that passes everything on unchanged and keeps it. */
export class RecordingProxy implements AsyncDisposable {
  readonly records: Recorded[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts a proxy before `host:port`. */
  static async start(target: { host: string; port: number }): Promise<RecordingProxy> {
    const server = createServer();
    const proxy = new RecordingProxy(server);
    server.on("connection", (client) => proxy.#join(client, connect(target.port, target.host)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `host:port` where clients connect. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** All that went one way over one connection (the first by default), joined. */
  stream(direction: Recorded["direction"], connection = 1): Buffer {
    const mine = this.records.filter(
      (record) => record.connection === connection && record.direction === direction,
    );
    return Buffer.concat(mine.map((record) => record.bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket, server: Socket): void {
    const connection = ++this.#connections;
    this.#pass(client, server, { connection, direction: "up" });
    this.#pass(server, client, { connection, direction: "down" });
  }

  #pass(from: Socket, to: Socket, way: Omit<Recorded, "bytes">): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (bytes) => {
      this.records.push({ ...way, bytes });
      to.write(bytes);
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
