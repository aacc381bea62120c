import type { Socket } from "node:net";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { type Frame, requestDecoder, responseDecoder } from "../../topology/hotrod/frame.ts";
import type {
  HotRodRequest,
  HotRodResponse,
  RequestContext,
} from "../../topology/hotrod/messages.ts";
import { Intelligence, Status } from "../../topology/hotrod/opcodes.ts";
import type { UnknownRequest } from "../../topology/hotrod/request.ts";
import { encodeResponse } from "../../topology/hotrod/response.ts";
import {
  mayHaveChanged,
  PutStreams,
  saysDone,
  writeEffect,
} from "../../topology/hotrod/write-effect.ts";
import { DOOR_REQUESTS_MAX, DOOR_STREAMS_MAX } from "../../topology/limits.ts";
import type { Logger } from "../../topology/ports.ts";
import { askBasic } from "./basic-intelligence.ts";
import type { DoorStats } from "./door-stats.ts";
import { JoinedWrites } from "./joined-writes.ts";
import type { HeldWrite, KeyUse, WriteHolds } from "./write-holds.ts";

/** What a {@link ClientConnection} needs of its front door. */
export interface ClientConnectionParts {
  readonly holds: WriteHolds;
  readonly stats: DoorStats;
  readonly logger: Logger;
}

/** A request that is not answered yet. */
interface Pending extends RequestContext {
  readonly hold: HeldWrite | undefined;
  /** It is forwarded once it may use its key. */
  readonly use: KeyUse | undefined;
  /** Of a `startPutStream`. */
  readonly key: Buffer | undefined;
}

/** SASL's ways to wrap all that follows, which nobody between could read any more. */
const WRAPPING_QOP = /qop="?auth-(?:int|conf)/;

/**
 * One client and its own connection to a cache server. Bytes pass as they are, but for the intelligence in requests; the
 * answer of a write that is held is kept back until the hold ends, and nothing else waits for it: answers leave in any
 * order, as the protocol allows. Ends both sides when one ends.
 */
export class ClientConnection {
  /** Resolves once both sides are closed. */
  readonly closed: Promise<void>;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #toClient: JoinedWrites;
  readonly #toServer: JoinedWrites;
  readonly #parts: ClientConnectionParts;
  readonly #pending = new Map<number, Pending>();
  readonly #streams = new PutStreams();
  /** Writes that are done and wait, with what to do once their client is gone. */
  readonly #held = new Set<HeldWrite>();
  readonly #requests = requestDecoder();
  readonly #responses = responseDecoder((id) => this.#pending.get(id));
  #isEnding = false;
  #onClosed!: () => void;

  /** Both sockets are paused. */
  constructor(client: Socket, server: Socket, parts: ClientConnectionParts) {
    this.#client = client;
    this.#server = server;
    this.#toClient = new JoinedWrites(client);
    this.#toServer = new JoinedWrites(server);
    this.#parts = parts;
    this.closed = new Promise((resolve) => (this.#onClosed = resolve));
    client.on("data", (chunk: Buffer) => this.#fromClient(chunk));
    server.on("data", (chunk: Buffer) => this.#fromServer(chunk));
    client.on("drain", () => {
      server.resume();
      // The answers that filled it may have been the last: no other one would have the client read again.
      this.#goOn();
    });
    server.on("drain", () => this.#goOn());
    for (const socket of [client, server]) {
      socket.on("error", () => this.#close());
      socket.on("close", () => this.#close());
    }
    // Half-closed connections are not worth keeping: a Hot Rod client that ends its side wants no answer.
    client.on("end", () => this.#close());
    server.on("end", () => this.#close());
  }

  /** Begins to read. */
  start(): void {
    this.#client.resume();
    this.#server.resume();
  }

  /** Takes no further request; closes once what was taken is answered. */
  end(): void {
    this.#isEnding = true;
    this.#client.pause();
    this.#closeIfIdle();
  }

  /** Closes at once. */
  destroy(): void {
    this.#close();
  }

  #fromClient(chunk: Buffer): void {
    const server = this.#server;
    this.#toServer.gather();
    try {
      this.#requests.push(chunk, (frame) => this.#request(frame));
    } catch (error) {
      this.#fail(error);
      return;
    } finally {
      this.#toServer.flush();
    }
    if (server.writableNeedDrain || this.#isFull) this.#client.pause();
  }

  get #isFull(): boolean {
    return this.#pending.size + this.#held.size >= DOOR_REQUESTS_MAX;
  }

  #request({ message, raw }: Frame<HotRodRequest | UnknownRequest>): void {
    const { holds, stats } = this.#parts;
    if (message.op === "unknown") {
      this.#refuse(message);
      return;
    }
    const { id, cache, version } = message.header;
    if (this.#pending.has(id)) throw invalid(`two requests with the id ${id} at once`);
    if (message.op === "auth" && WRAPPING_QOP.test(message.response.toString("latin1")))
      throw invalid("a SASL layer that wraps what follows; take the quality of protection auth");
    if (message.op === "startPutStream" && this.#streams.size >= DOOR_STREAMS_MAX)
      throw invalid(`more than ${DOOR_STREAMS_MAX} values that are sent in parts at once`);
    stats.requests += 1;
    const effect = this.#streams.effect(message) ?? writeEffect(message);
    const use = effect?.isUse === true ? holds.use(cache, effect) : undefined;
    const hold = effect && holds.begin(cache, effect);
    const key = message.op === "startPutStream" ? message.key : undefined;
    const { op } = message;
    this.#pending.set(id, { op, version, intelligence: Intelligence.Basic, hold, use, key });
    askBasic(raw, effect !== undefined && holds.replicates(cache));
    if (use === undefined) this.#toServer.write(raw);
    else this.#forwardUse(use, hold, id, Buffer.from(raw));
  }

  /** Requests behind it do not wait. */
  #forwardUse(use: KeyUse, hold: HeldWrite | undefined, id: number, request: Buffer): void {
    use.ready((refused) => {
      if (refused === undefined) {
        this.#toServer.write(request);
        return;
      }
      this.#pending.delete(id);
      hold?.drop();
      this.#toClient.write(failed(id, refused));
      this.#goOn();
    });
  }

  /** Says why, and ends: where an unknown request ends nobody knows. */
  #refuse({ id, version, opcode }: UnknownRequest): void {
    const isVersion = opcode === undefined;
    const status = isVersion ? Status.UnknownVersion : Status.UnknownOperation;
    const what = isVersion ? `protocol version ${version}` : `operation 0x${opcode.toString(16)}`;
    const message = `isthmus: the front door does not know ${what}`;
    this.#toClient.flush();
    this.#client.end(
      encodeResponse({ op: "error", header: { id, status, topology: undefined }, message }),
    );
    throw invalid(what);
  }

  #fromServer(chunk: Buffer): void {
    const client = this.#client;
    this.#toClient.gather();
    try {
      this.#responses.push(chunk, (frame) => this.#response(frame));
    } catch (error) {
      this.#fail(error);
      return;
    } finally {
      this.#toClient.flush();
    }
    if (client.writableNeedDrain) this.#server.pause();
    else this.#goOn();
  }

  #response({ message, raw }: Frame<HotRodResponse>): void {
    const { id } = message.header;
    const pending = this.#pending.get(id);
    // Events of a listener's initial state carry the id of the request that added it, which is answered behind them.
    if (pending === undefined || isEvent(message)) {
      this.#toClient.write(raw);
      return;
    }
    this.#pending.delete(id);
    if (message.op === "startPutStream" && pending.key !== undefined)
      this.#streams.started(message.streamId, pending.key);
    const { hold } = pending;
    // What an error says of a use is not known.
    pending.use?.end(saysDone(message) || message.op === "error");
    if (hold === undefined) this.#toClient.write(raw);
    else if (mayHaveChanged(message)) this.#wait(hold, id, Buffer.from(raw));
    else {
      hold.drop();
      this.#toClient.write(raw);
    }
  }

  #wait(hold: HeldWrite, id: number, answer: Buffer): void {
    const { stats } = this.#parts;
    this.#held.add(hold);
    stats.held += 1;
    hold.done((end) => {
      this.#held.delete(hold);
      stats.held -= 1;
      this.#toClient.write(end === undefined ? answer : failed(id, end));
      this.#goOn();
    });
  }

  /** After an answer: there may be room for requests again, or nothing left to wait for. */
  #goOn(): void {
    if (this.#isEnding) this.#closeIfIdle();
    else if (this.#client.isPaused() && !this.#server.writableNeedDrain && !this.#isFull)
      this.#client.resume();
  }

  #closeIfIdle(): void {
    if (this.#pending.size > 0 || this.#held.size > 0) return;
    this.#toClient.flush();
    this.#client.end(() => this.#close());
  }

  #fail(error: unknown): void {
    const { stats, logger } = this.#parts;
    stats.protocolErrors += 1;
    logger.warn({ err: error, code: ErrorCode.HotRodProtocol }, "a client's connection was ended");
    this.#close();
  }

  #close(): void {
    // What was written before, a refusal perhaps, still leaves.
    this.#toClient.flush();
    this.#client.destroySoon();
    this.#server.destroy();
    for (const { hold, use } of this.#pending.values()) {
      hold?.drop();
      use?.end(true);
    }
    for (const hold of this.#held) {
      hold.drop();
      this.#parts.stats.held -= 1;
    }
    this.#pending.clear();
    this.#held.clear();
    this.#onClosed();
  }
}

const isEvent = ({ op }: HotRodResponse): boolean =>
  op === "created" ||
  op === "modified" ||
  op === "removed" ||
  op === "expired" ||
  op === "counterEvent";

const invalid = (found: string): IsthmusError =>
  new IsthmusError(ErrorCode.HotRodProtocol, `the front door cannot forward ${found}`);

/** Java clients do not send a write again that ended so. */
const failed = (id: number, message: string): Buffer =>
  encodeResponse({
    op: "error",
    header: { id, status: Status.CommandTimeout, topology: undefined },
    message: `isthmus: ${message}`,
  });
