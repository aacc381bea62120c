import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { requestDecoder } from "../../topology/hotrod/frame.ts";
import type { HotRodRequest, HotRodResponse } from "../../topology/hotrod/messages.ts";
import { encodeResponse } from "../../topology/hotrod/response.ts";

/** A connection at the scripted server. */
export interface ScriptedClient {
  readonly socket: Socket;
  /** Sends one response or event. */
  send(response: HotRodResponse): void;
  /** All requests but pings, in the order in which they came. */
  readonly requests: HotRodRequest[];
  /** How many reads of the socket they took. */
  reads: number;
}

/** What the server does at a request other than PING; pings are answered while `answersPings`. */
export type Script = (request: HotRodRequest, client: ScriptedClient) => void;

/** A Hot Rod server that does what a test says, and nothing else: for answers that no real server gives on demand. */
export class ScriptedHotRod implements AsyncDisposable {
  script: Script = () => undefined;
  answersPings = true;
  /** Set: pings of a cache are its. */
  cachePings: Script | undefined;
  readonly clients: ScriptedClient[] = [];
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => this.#accept(socket));
  }

  static async start(port = 0): Promise<ScriptedHotRod> {
    const server = createServer();
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return new ScriptedHotRod(server);
  }

  /** Requests of all connections, pings aside. */
  get requests(): HotRodRequest[] {
    return this.clients.flatMap((client) => client.requests);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.clients) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    const client: ScriptedClient = {
      socket,
      requests: [],
      reads: 0,
      send: (response) => socket.write(encodeResponse(response)),
    };
    this.clients.push(client);
    const decoder = requestDecoder();
    socket.on("data", (chunk) => {
      client.reads++;
      decoder.push(chunk, ({ message }) => {
        if (message.op === "unknown") throw new Error(`unknown request ${message.opcode}`);
        if (message.op === "ping") {
          if (message.header.cache !== "" && this.cachePings !== undefined)
            this.cachePings(message, client);
          else if (this.answersPings) client.send(pong(message.header.id));
          return;
        }
        client.requests.push(message);
        this.script(message, client);
      });
    });
  }
}

/** The header of the answer to a request. */
export const answerTo = (request: HotRodRequest, status = 0) => ({
  id: request.header.id,
  status,
  topology: undefined,
});

/** The answer to a PING. */
export function pong(id: number): HotRodResponse {
  return {
    op: "ping",
    header: { id, status: 0, topology: undefined },
    keyMediaType: undefined,
    valueMediaType: undefined,
    server: { version: 41, opcodes: [] },
  };
}
