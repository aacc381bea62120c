import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { requestDecoder, responseDecoder } from "../../topology/hotrod/frame.ts";
import type {
  HotRodRequest,
  HotRodResponse,
  RequestContext,
} from "../../topology/hotrod/messages.ts";
import { encodeRequest } from "../../topology/hotrod/request.ts";
import type { Recorded } from "./recording-proxy.ts";

/** How long nothing may come before a reply's events count as all there. */
const QUIET_MS = 200;

/** One request at a time over one socket, for tests that speak Hot Rod by hand. */
export class FrameClient implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #requests = new Map<number, RequestContext>();
  #received: HotRodResponse[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    const decoder = responseDecoder((id) => this.#requests.get(id));
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, ({ message }) => this.#received.push(message));
    });
  }

  static async connect(port: number): Promise<FrameClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new FrameClient(socket);
  }

  /** Sends a request; returns all that came until its response and a while of quiet: events and the response. */
  async ask(request: HotRodRequest): Promise<HotRodResponse[]> {
    this.#received = [];
    const { id } = request.header;
    this.#requests.set(id, { op: request.op, ...request.header });
    this.#socket.write(encodeRequest(request));
    const answered = () => this.#received.some((message) => message.header.id === id);
    while (!answered()) await once(this.#socket, "data", { signal: AbortSignal.timeout(10_000) });
    for (let count = -1; count !== this.#received.length;) {
      count = this.#received.length;
      await sleep(QUIET_MS);
    }
    return this.#received;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await once(this.#socket, "close");
  }
}

/** A recording of one connection cut into frames, `> hex` for requests and `< hex` for responses and events, in order. */
export function frameLines(records: readonly Recorded[], connection: number): string[] {
  const lines: string[] = [];
  const requests = new Map<number, RequestContext>();
  const up = requestDecoder();
  const down = responseDecoder((id) => requests.get(id));
  for (const record of records.filter((each) => each.connection === connection)) {
    if (record.direction === "up") {
      up.push(record.bytes, ({ message, raw }) => {
        if (message.op === "unknown") throw new Error(`unknown request ${raw.toString("hex")}`);
        requests.set(message.header.id, { op: message.op, ...message.header });
        lines.push(`> ${raw.toString("hex")}`);
      });
    } else {
      down.push(record.bytes, ({ raw }) => lines.push(`< ${raw.toString("hex")}`));
    }
  }
  return lines;
}
