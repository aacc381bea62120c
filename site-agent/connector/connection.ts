import type { Socket } from "node:net";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type {
  CacheEvent as EventFrame,
  HotRodRequest,
  HotRodResponse,
  RequestBodies,
  ResponseOf,
} from "../../topology/hotrod/messages.ts";
import type { MediaType } from "../../topology/hotrod/media-type.ts";
import { Intelligence, VERSION_MAX } from "../../topology/hotrod/opcodes.ts";
import type { RequestOp } from "../../topology/hotrod/opcodes.ts";
import { encodeRequest, requestHeader } from "../../topology/hotrod/request.ts";
import { responseDecoder } from "../../topology/hotrod/frame.ts";
import {
  CACHE_IN_FLIGHT_MAX,
  CACHE_OPERATION_TIMEOUT_MS,
  CACHE_PING_AFTER_MS,
  CACHE_PING_TIMEOUT_MS,
} from "../../topology/limits.ts";
import type { Clock } from "../../topology/ports.ts";
import { isNotReady, serverFailure, unanswered } from "./failure.ts";

/** Bounds of one connection; the defaults are in topology/limits.ts. */
export interface ConnectionLimits {
  readonly inFlightMax: number;
  readonly operationTimeoutMs: number;
  readonly pingAfterMs: number;
  readonly pingTimeoutMs: number;
}

/** The limits that hold unless a test says otherwise. */
export const CONNECTION_LIMITS: ConnectionLimits = {
  inFlightMax: CACHE_IN_FLIGHT_MAX,
  operationTimeoutMs: CACHE_OPERATION_TIMEOUT_MS,
  pingAfterMs: CACHE_PING_AFTER_MS,
  pingTimeoutMs: CACHE_PING_TIMEOUT_MS,
};

/** The cache that an operation is for. */
export interface RequestScope {
  /** "" for none. */
  readonly cache: string;
  /** Undefined: the storage type. */
  readonly keyMediaType?: MediaType | undefined;
  readonly valueMediaType?: MediaType | undefined;
  /** Default: basic, so that no topology ever arrives. */
  readonly intelligence?: number;
}

/** An operation from its call until its answer. */
interface Pending {
  readonly op: RequestOp;
  readonly version: number;
  readonly intelligence: number;
  readonly deadline: number;
  /** undefined: its caller was told of the timeout; the answer is still to be decoded. */
  settle: ((response: HotRodResponse | IsthmusError) => void) | undefined;
  /** Not undefined while it waits for its turn. */
  request: HotRodRequest | undefined;
}

/** "I know no topology": the server then tells the present one. */
const NO_TOPOLOGY = 0xffff_ffff;

/** How often deadlines and silence are looked at, as a part of the shortest of them. */
const SWEEPS_PER_TIMEOUT = 10;

/**
 * One Hot Rod connection, open and authenticated or closed for good. Operations run side by side, answers are matched by
 * message id in any order. What gathers in one turn of the event loop leaves in one write. Beyond the bound in flight,
 * operations wait their turn in order; their number is bounded by the callers.
 *
 * A connection from which nothing comes, pings included, is closed: a server that is dead, or cut off, is noticed. So is
 * one whose server answers that it is not ready: what else was sent there would hold up its start.
 */
export class HotRodConnection {
  /** `host:port`, for messages. */
  readonly address: string;
  /** Resolves with the reason once the connection is closed. */
  readonly closed: Promise<IsthmusError>;

  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  readonly #decoder: ReturnType<typeof responseDecoder>;
  readonly #onFrame = (frame: { message: HotRodResponse }): void => this.#dispatch(frame.message);
  readonly #inFlight = new Map<number, Pending>();
  readonly #waiting: Pending[] = [];
  readonly #listeners = new Map<string, (event: EventFrame) => void>();
  #resolveClosed!: (reason: IsthmusError) => void;
  #failure: IsthmusError | undefined;
  #foundNotReady = false;
  #lastId = 0;
  #outgoing: Buffer[] = [];
  #heardAt: number;
  #pingSentAt: number | undefined;
  #pingScope: RequestScope = { cache: "" };
  #cancelSweep: () => void = () => undefined;

  constructor(socket: Socket, address: string, clock: Clock, limits: ConnectionLimits) {
    this.address = address;
    this.#socket = socket;
    this.#clock = clock;
    this.#limits = limits;
    this.#heardAt = clock.monotonic();
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#decoder = responseDecoder((id) => this.#inFlight.get(id));
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(this.#broken(error.message, error)));
    socket.on("close", () => this.#fail(this.#broken("closed by the server")));
    this.#scheduleSweep();
  }

  /** Operations called and not answered yet. */
  get load(): number {
    return this.#inFlight.size + this.#waiting.length;
  }

  get isOpen(): boolean {
    return this.#failure === undefined;
  }

  /** Whether it was closed because its server answered that it is not ready. */
  get foundNotReady(): boolean {
    return this.#foundNotReady;
  }

  /**
   * Sends an operation and resolves with its answer, which has a status below 0x80.
   * @throws IsthmusError HotRodServer, CacheMissing, CacheAuthFailed (what the server answered, see failure.ts),
   * HotRodTimeout (outcome unknown), CacheUnreachable (never sent)
   */
  request<O extends RequestOp>(
    op: O,
    scope: RequestScope,
    body: RequestBodies[O],
  ): Promise<ResponseOf<O>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    const intelligence = scope.intelligence ?? Intelligence.Basic;
    const request = {
      op,
      header: requestHeader({
        id,
        cache: scope.cache,
        keyMediaType: scope.keyMediaType,
        valueMediaType: scope.valueMediaType,
        intelligence,
        topologyId: intelligence === Intelligence.Basic ? 0 : NO_TOPOLOGY,
      }),
      ...body,
    } as HotRodRequest;
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        op,
        version: VERSION_MAX,
        intelligence,
        deadline: this.#clock.monotonic() + this.#limits.operationTimeoutMs,
        settle: (answer) => {
          if (answer instanceof IsthmusError) reject(answer);
          else if (answer.op === "error")
            reject(serverFailure(this.address, op, scope.cache, answer));
          else resolve(answer as ResponseOf<O>);
        },
        request,
      };
      // A ping must never wait behind what it is to judge.
      if (this.#inFlight.size < this.#limits.inFlightMax || op === "ping") this.#send(pending);
      else this.#waiting.push(pending);
    });
  }

  /**
   * Hands every event of that listener to `handler` until the connection closes, which it does too when the listener's
   * cache is gone. The frame's buffers are views.
   */
  onEvents(listenerId: Buffer, cache: string, handler: (event: EventFrame) => void): void {
    this.#listeners.set(listenerId.toString("latin1"), handler);
    this.#pingScope = { cache };
  }

  /** Closes the connection; what is in flight fails with `why`. */
  close(why = "closed"): void {
    this.#fail(this.#broken(why));
  }

  #send(pending: Pending): void {
    const request = pending.request as HotRodRequest;
    let bytes: Buffer;
    try {
      bytes = encodeRequest(request);
    } catch (error) {
      pending.settle?.(error as IsthmusError);
      return;
    }
    pending.request = undefined;
    this.#inFlight.set(request.header.id, pending);
    this.#outgoing.push(bytes);
    if (this.#outgoing.length === 1) process.nextTick(() => this.#flush());
  }

  /** One buffer for all: copying costs less than a system call with hundreds of small parts. */
  #flush(): void {
    const gathered = this.#outgoing;
    this.#outgoing = [];
    if (!this.isOpen) return;
    const [only] = gathered;
    this.#socket.write(
      gathered.length === 1 && only !== undefined ? only : Buffer.concat(gathered),
    );
  }

  #receive(chunk: Buffer): void {
    this.#heardAt = this.#clock.monotonic();
    try {
      this.#decoder.push(chunk, this.#onFrame);
    } catch (error) {
      this.#fail(
        error instanceof IsthmusError
          ? error
          : new IsthmusError(ErrorCode.HotRodProtocol, `${this.address}: ${String(error)}`, {
              cause: error,
            }),
      );
    }
  }

  #dispatch(message: HotRodResponse): void {
    if ("listenerId" in message) {
      if (message.op !== "counterEvent")
        this.#listeners.get(message.listenerId.toString("latin1"))?.(message);
      return;
    }
    const pending = this.#inFlight.get(message.header.id);
    if (message.op === "error" && isNotReady(message)) {
      this.#inFlight.delete(message.header.id);
      this.#foundNotReady = true;
      // Whoever watches the connection hears of it before its caller, who may try again elsewhere.
      this.#fail(this.#broken(`not ready: ${message.message}`));
      pending?.settle?.(message);
      return;
    }
    if (pending === undefined) {
      this.#fail(this.#broken(`it answered no request: ${JSON.stringify(message)}`));
      return;
    }
    this.#inFlight.delete(message.header.id);
    pending.settle?.(message);
    const next = this.#waiting.shift();
    if (next !== undefined) this.#send(next);
  }

  #scheduleSweep(): void {
    const { operationTimeoutMs, pingAfterMs, pingTimeoutMs } = this.#limits;
    const every = Math.min(operationTimeoutMs, pingAfterMs, pingTimeoutMs) / SWEEPS_PER_TIMEOUT;
    this.#cancelSweep = this.#clock.after(every, () => {
      const now = this.#clock.monotonic();
      this.#expire(now);
      this.#watchSilence(now);
      if (this.isOpen) this.#scheduleSweep();
    });
  }

  /** Both collections are in the order of their deadlines, for all operations get the same time. */
  #expire(now: number): void {
    const why = `waited ${this.#limits.operationTimeoutMs} ms`;
    for (const pending of this.#inFlight.values()) {
      if (pending.deadline > now) break;
      pending.settle?.(unanswered(this.address, pending.op, why));
      pending.settle = undefined;
    }
    while ((this.#waiting[0]?.deadline ?? Infinity) <= now) {
      const pending = this.#waiting.shift();
      pending?.settle?.(unanswered(this.address, pending.op, `${why} for its turn`));
    }
  }

  #watchSilence(now: number): void {
    const { pingAfterMs, pingTimeoutMs } = this.#limits;
    if (this.#pingSentAt !== undefined && this.#heardAt >= this.#pingSentAt)
      this.#pingSentAt = undefined;
    if (this.#pingSentAt !== undefined) {
      if (now - this.#pingSentAt >= pingTimeoutMs)
        this.#fail(this.#broken(`silent for ${Math.round(now - this.#heardAt)} ms`));
    } else if (now - this.#heardAt >= pingAfterMs) {
      this.#pingSentAt = now;
      this.request("ping", this.#pingScope, {}).catch((error: unknown) => {
        if (error instanceof IsthmusError && error.code === ErrorCode.CacheMissing)
          this.#fail(error);
      });
    }
  }

  #broken(why: string, cause?: unknown): IsthmusError {
    return new IsthmusError(ErrorCode.CacheUnreachable, `cache server ${this.address}: ${why}`, {
      cause,
    });
  }

  #fail(reason: IsthmusError): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#cancelSweep();
    this.#socket.destroy();
    for (const pending of this.#inFlight.values())
      pending.settle?.(unanswered(this.address, pending.op, reason.message));
    for (const pending of this.#waiting) pending.settle?.(reason);
    this.#inFlight.clear();
    this.#waiting.length = 0;
    this.#listeners.clear();
    this.#resolveClosed(reason);
  }
}
