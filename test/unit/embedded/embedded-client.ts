import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { responseDecoder } from "../../../topology/hotrod/frame.ts";
import { IMMORTAL } from "../../../topology/hotrod/expiration.ts";
import type {
  CacheEvent,
  HotRodRequest,
  HotRodResponse,
  RequestBodies,
  RequestContext,
  RequestHeader,
  ResponseOf,
} from "../../../topology/hotrod/messages.ts";
import { EVENT_OPCODES } from "../../../topology/hotrod/opcodes.ts";
import type { RequestOp } from "../../../topology/hotrod/opcodes.ts";
import { encodeRequest, requestHeader } from "../../../topology/hotrod/request.ts";

/** Header ids of the pings that tell where a request's messages end. */
const FENCE_ID = 1_000_000;

/** Speaks Hot Rod with an embedded server over a socket, one request at a time. */
export class EmbeddedClient {
  readonly socket: Socket;
  readonly #requests = new Map<number, RequestContext>();
  readonly #received: HotRodResponse[] = [];
  readonly #cache: string;
  #lastId = 0;
  #lastFence = FENCE_ID;

  private constructor(socket: Socket, cache: string) {
    this.socket = socket;
    this.#cache = cache;
    const decoder = responseDecoder((id) => this.#requests.get(id));
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, ({ message }) => this.#received.push(message));
    });
  }

  static async connect(port: number, cache: string): Promise<EmbeddedClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new EmbeddedClient(socket, cache);
  }

  /** Sends a request and returns all that came for it, in order: the events before its answer, the answer, those behind. */
  async exchange(request: HotRodRequest): Promise<HotRodResponse[]> {
    this.socket.write(this.frame(request));
    return this.drain();
  }

  /** A request's bytes, to be sent by the caller; its answer is expected from now on. */
  frame(request: HotRodRequest): Buffer {
    this.#requests.set(request.header.id, { op: request.op, ...request.header });
    return encodeRequest(request);
  }

  /** All that was received since the last call; whatever the server sent before this is there. */
  async drain(): Promise<HotRodResponse[]> {
    this.#lastFence += 1;
    const header = requestHeader({ id: this.#lastFence, cache: "" });
    this.#requests.set(header.id, { op: "ping", ...header });
    this.socket.write(encodeRequest({ op: "ping", header }));
    for (;;) {
      const end = this.#received.findIndex((message) => message.header.id === header.id);
      if (end >= 0) return this.#received.splice(0, end + 1).slice(0, -1);
      await once(this.socket, "data", { signal: AbortSignal.timeout(5000) });
    }
  }

  /** How many messages came since the last {@link EmbeddedClient.drain}. */
  get received(): number {
    return this.#received.length;
  }

  /** One operation; its answer alone. */
  async ask<O extends RequestOp>(
    op: O,
    body: RequestBodies[O],
    header: Partial<RequestHeader> = {},
  ): Promise<ResponseOf<O>> {
    const messages = await this.exchange(this.request(op, body, header));
    const answer = messages.find((message) => message.header.id === this.#lastId);
    if (answer?.op !== op) throw new Error(`answered by ${JSON.stringify(answer)}`);
    return answer as ResponseOf<O>;
  }

  /** Of what was received since the last call, the events. */
  async events(): Promise<CacheEvent[]> {
    const isEvent = (message: HotRodResponse): message is CacheEvent => message.op in EVENT_OPCODES;
    return (await this.drain()).filter(isEvent);
  }

  /** A request with the next id. */
  request<O extends RequestOp>(
    op: O,
    body: RequestBodies[O],
    header: Partial<RequestHeader> = {},
  ): HotRodRequest {
    this.#lastId += 1;
    const whole = requestHeader({ id: this.#lastId, cache: this.#cache, ...header });
    return { op, header: whole, ...body } as unknown as HotRodRequest;
  }

  /** Writes an entry that lives forever. */
  async put(key: string, value: string, header: Partial<RequestHeader> = {}) {
    const entry = { key: Buffer.from(key), value: Buffer.from(value) };
    return this.ask("put", { ...entry, expiration: IMMORTAL }, header);
  }

  /** Reads an entry's value as text. */
  async get(key: string): Promise<string | undefined> {
    return (await this.ask("get", { key: Buffer.from(key) })).value?.toString();
  }

  /** Reads an entry's token. */
  async token(key: string): Promise<bigint | undefined> {
    const { entry } = await this.ask("getWithVersion", { key: Buffer.from(key) });
    return entry?.entryVersion;
  }
}
