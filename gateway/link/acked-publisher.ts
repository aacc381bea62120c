import { createInbox, headers } from "@nats-io/nats-core";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { PublishAck } from "../../topology/ports.ts";
import type { NatsLink } from "./connect.ts";
import { refusal } from "./nats-error.ts";

/** What a stream must be for a record to be stored in it. */
export interface Expectation {
  readonly msgId?: string;
  /** The stream's newest sequence of this subject; 0: there is none. */
  readonly lastSubjectSeq?: number;
  /** The same for another subject than the record's own. */
  readonly lastOf?: { readonly subject: string; readonly seq: number } | undefined;
}

/** How long one attempt may take, ms, and what ends it before. */
export interface Attempt {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A server's answer to a record: a PubAck, or an error. */
interface Answer {
  readonly stream?: string;
  readonly domain?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: {
    readonly code?: number;
    readonly err_code?: number;
    readonly description?: string;
  };
}

/** A PubAck that refused the record: carries JetStream's own error number. */
export class RefusedError extends IsthmusError {
  readonly number: number;

  constructor(base: IsthmusError, number: number) {
    super(base.code, base.message);
    this.number = number;
  }
}

interface InFlight {
  readonly subject: string;
  readonly settle: (outcome: PublishAck | Error) => void;
  /** Who else answered, for the message. */
  foreign: string | undefined;
}

/**
 * Stores records in one stream of this site's own domain, over one reply inbox.
 *
 * Answers of any other stream or domain (a stream elsewhere on the same subject hears it over the leaf link) never count.
 */
export class AckedPublisher {
  readonly #link: NatsLink;
  readonly #stream: string;
  readonly #inbox: string;
  readonly #inFlight = new Map<string, InFlight>();
  #next = 1;

  constructor(link: NatsLink, stream: string) {
    this.#link = link;
    this.#stream = stream;
    this.#inbox = createInbox();
    link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, msg) => {
        if (error === null) this.#answered(msg);
      },
    });
    link.onChange((connected) => {
      if (!connected) this.#disconnected();
    });
  }

  /** See `SiteLog.publish` in topology/ports.ts; a refusal is a {@link RefusedError}. */
  async publish(
    subject: string,
    payload: Uint8Array,
    expected: Expectation,
    { timeoutMs, signal }: Attempt,
  ): Promise<PublishAck> {
    signal?.throwIfAborted();
    this.#link.assertConnected(`store a record on ${subject}`);
    const id = String(this.#next++);
    const reply = `${this.#inbox}.${id}`;
    const { promise, resolve, reject } = deferred<PublishAck>();
    const cleanUps: Array<() => void> = [];
    const settle = (outcome: PublishAck | Error): void => {
      this.#inFlight.delete(id);
      for (const cleanUp of cleanUps) cleanUp();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const entry: InFlight = { subject, settle, foreign: undefined };
    this.#inFlight.set(id, entry);
    const onAbort = (): void => settle(asError(signal?.reason));
    signal?.addEventListener("abort", onAbort);
    const { clock } = this.#link.tools;
    cleanUps.push(
      () => signal?.removeEventListener("abort", onAbort),
      clock.after(timeoutMs, () => settle(this.#timeout(entry, timeoutMs))),
    );
    try {
      this.#link.nc.publish(subject, payload, { reply, headers: this.#headers(expected) });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `could not store a record of ${payload.length} bytes on ${subject}: ${why}`;
      settle(new IsthmusError(ErrorCode.LogRefused, message, { cause }));
    }
    return promise;
  }

  #headers({ msgId, lastSubjectSeq, lastOf }: Expectation): MsgHdrs {
    const fields = headers();
    fields.set("Nats-Expected-Stream", this.#stream);
    if (msgId !== undefined) fields.set("Nats-Msg-Id", msgId);
    if (lastSubjectSeq !== undefined)
      fields.set("Nats-Expected-Last-Subject-Sequence", String(lastSubjectSeq));
    if (lastOf !== undefined) {
      fields.set("Nats-Expected-Last-Subject-Sequence", String(lastOf.seq));
      fields.set("Nats-Expected-Last-Subject-Sequence-Subject", lastOf.subject);
    }
    return fields;
  }

  #answered(msg: Msg): void {
    const entry = this.#inFlight.get(msg.subject.slice(this.#inbox.length + 1));
    if (entry === undefined) return;
    if (msg.headers?.code === 503) {
      const message = `could not store a record on ${entry.subject}: no stream listens there`;
      return entry.settle(new IsthmusError(ErrorCode.LogMissing, message));
    }
    const outcome = judgeAnswer(
      parse(msg),
      this.#stream,
      this.#link.settings.domain,
      entry.subject,
    );
    if (typeof outcome === "string") entry.foreign = outcome;
    else entry.settle(outcome);
  }

  #timeout(entry: InFlight, timeoutMs: number): IsthmusError {
    const { domain } = this.#link.settings;
    const also =
      entry.foreign === undefined ? "" : `; ${entry.foreign} answered, which does not count`;
    return new IsthmusError(
      ErrorCode.LogTimeout,
      `no confirmation for a record on ${entry.subject} from stream ${this.#stream} of domain ` +
        `${domain} within ${timeoutMs} ms${also}`,
    );
  }

  #disconnected(): void {
    for (const { subject, settle } of this.#inFlight.values()) {
      const message = `the NATS connection broke while a record on ${subject} waited for its confirmation`;
      settle(new IsthmusError(ErrorCode.NatsUnreachable, message));
    }
  }
}

/** What an answer means: stored, refused, or (a text that names it) somebody else's. */
export function judgeAnswer(
  answer: Answer | undefined,
  stream: string,
  domain: string,
  subject: string,
): PublishAck | Error | string {
  if (answer === undefined) return "something that is not JetStream";
  const { error, seq } = answer;
  const foreignDomain = answer.domain !== undefined && answer.domain !== domain;
  // A refusal names the stream but not always the domain; a confirmation must name both.
  const foreign = answer.stream !== stream || foreignDomain || (!error && answer.domain !== domain);
  if (foreign) return `stream ${answer.stream ?? "?"} of domain ${answer.domain ?? "?"}`;
  if (error !== undefined) {
    const number = error.err_code ?? 0;
    const doing = `store a record on ${subject}`;
    const base = refusal(number, error.code ?? 0, error.description ?? "?", doing);
    return new RefusedError(base, number);
  }
  if (seq === undefined) return "something that is not JetStream";
  return { seq, duplicate: answer.duplicate === true };
}

function parse(msg: Msg): Answer | undefined {
  try {
    return msg.json<Answer>();
  } catch {
    return undefined;
  }
}

const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new Error(String(reason));

function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}
