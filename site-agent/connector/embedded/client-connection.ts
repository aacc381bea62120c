import type { Socket } from "node:net";
import { IsthmusError } from "../../../topology/errors.ts";
import { requestDecoder } from "../../../topology/hotrod/frame.ts";
import type {
  HotRodRequest,
  HotRodResponse,
  RequestContext,
} from "../../../topology/hotrod/messages.ts";
import { Status, VERSION_MAX } from "../../../topology/hotrod/opcodes.ts";
import type { UnknownRequest } from "../../../topology/hotrod/request.ts";
import { encodeResponse } from "../../../topology/hotrod/response.ts";
import {
  EMBEDDED_OUTPUT_BYTES_MAX,
  EMBEDDED_OUTPUT_PAUSE_BYTES,
} from "../../../topology/limits.ts";
import { Iterations } from "./iterations.ts";
import { OperationError } from "./operation-error.ts";
import { perform } from "./session-operations.ts";
import type { ServerState, Session } from "./session-operations.ts";

/** One client: its requests are done and answered one after the other, in order; its listeners end with it. */
export class ClientConnection {
  readonly #socket: Socket;
  readonly #server: ServerState;
  readonly #decoder = requestDecoder();
  readonly #session: Session;
  /** Requests that came while too many bytes waited to be sent. */
  readonly #backlog: Array<HotRodRequest | UnknownRequest> = [];
  #paused = false;
  #corked = false;
  #closed = false;

  constructor(socket: Socket, server: ServerState) {
    this.#socket = socket;
    this.#server = server;
    this.#session = {
      server,
      iterations: new Iterations(),
      send: (event) => this.#send(event),
    };
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => server.logger.debug({ error }, "embedded cache: client lost"));
    socket.on("close", () => this.#end());
  }

  #receive(chunk: Buffer): void {
    try {
      this.#decoder.push(chunk, ({ message }) => {
        if (this.#paused) this.#backlog.push(message);
        else this.#answer(message);
      });
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      if (this.#closed) return;
      this.#server.logger.warn({ error }, "embedded cache: bytes that are no Hot Rod request");
      this.#sendError({ id: 0, version: VERSION_MAX }, Status.InvalidMagicOrId, error.message);
      this.#close();
    }
  }

  #answer(message: HotRodRequest | UnknownRequest): void {
    if (this.#closed) return;
    if (message.op === "unknown") this.#refuse(message);
    else this.#handle(message);
  }

  /** Small requests can have long answers: none is done while the client has too much to read. */
  #pause(): void {
    this.#paused = true;
    this.#socket.pause();
    this.#socket.once("drain", () => {
      this.#paused = false;
      while (!this.#paused) {
        const message = this.#backlog.shift();
        if (message === undefined) break;
        this.#answer(message);
      }
      if (!this.#paused) this.#socket.resume();
    });
  }

  #handle(request: HotRodRequest): void {
    const { op, header } = request;
    try {
      const { status, ...body } = perform(this.#session, request);
      const answer = { op, header: { id: header.id, status, topology: undefined }, ...body };
      this.#send(encodeResponse(answer as HotRodResponse, header));
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#sendError(header, error.status, error.message);
    }
    this.#server.caches.find(header.cache)?.flushExpired();
  }

  /** Answers a request whose end is not known, and closes: nothing behind it can be understood. */
  #refuse({ id, version, opcode }: UnknownRequest): void {
    if (opcode === undefined) {
      const text = `org.infinispan.server.hotrod.UnknownVersionException: Unknown version:${version}`;
      this.#sendError({ id, version: VERSION_MAX }, Status.UnknownVersion, text);
    } else {
      const text =
        "org.infinispan.server.hotrod.HotRodUnknownOperationException: Unknown operation: " +
        opcode;
      this.#sendError({ id, version }, Status.UnknownOperation, text);
    }
    this.#close();
  }

  #sendError(
    header: { id: number } & Pick<RequestContext, "version">,
    status: number,
    message: string,
  ): void {
    const { id, version } = header;
    const error = { op: "error", header: { id, status, topology: undefined }, message } as const;
    this.#send(encodeResponse(error, { version, intelligence: 1 }));
  }

  /** Sends in order; what is sent in one turn of the event loop goes out together. */
  #send(bytes: Buffer): void {
    const socket = this.#socket;
    if (this.#closed || socket.destroyed) return;
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
      queueMicrotask(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    socket.write(bytes);
    if (socket.writableLength > EMBEDDED_OUTPUT_BYTES_MAX) {
      this.#server.logger.warn(
        { bytes: socket.writableLength },
        "embedded cache: a client that does not read what it is sent was cut off",
      );
      this.#closed = true;
      socket.destroy();
    } else if (socket.writableLength > EMBEDDED_OUTPUT_PAUSE_BYTES && !this.#paused) {
      this.#pause();
    }
  }

  #close(): void {
    this.#closed = true;
    this.#socket.end();
  }

  #end(): void {
    this.#closed = true;
    this.#server.listeners.removeAllOf(this.#session.send);
  }
}
