import { errors, headers } from "@nats-io/nats-core";
import type { Msg } from "@nats-io/nats-core";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { Bus } from "../../topology/ports.ts";
import type { NatsLink } from "./connect.ts";
import { linkError } from "./nats-error.ts";

// The names that NATS's own services use (ADR-32), so that its tools show these errors too.
const ERROR_TEXT = "Nats-Service-Error";
const ERROR_CODE = "Nats-Service-Error-Code";

/** {@link Bus} over the site's NATS; the leaf links carry it to the other sites by interest. */
export class NatsBus implements Bus {
  readonly #link: NatsLink;

  constructor(link: NatsLink) {
    this.#link = link;
  }

  publish(subject: string, payload: Uint8Array): void {
    if (this.#link.connected) this.#link.nc.publish(subject, payload);
  }

  subscribe(subject: string, handler: (payload: Uint8Array, subject: string) => void): () => void {
    return this.#listen(subject, (msg) => handler(msg.data, msg.subject));
  }

  async request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    this.#link.assertConnected(`ask on ${subject}`);
    let answer: Msg;
    try {
      answer = await this.#link.nc.request(subject, payload, { timeout: timeoutMs });
    } catch (error) {
      throw linkError(error, `ask on ${subject}`, ErrorCode.PeerUnreachable);
    }
    const code = answer.headers?.get(ERROR_CODE) ?? "";
    if (code === "") return answer.data;
    const text = answer.headers?.get(ERROR_TEXT) ?? "";
    throw new IsthmusError(ErrorCode.PeerRefused, `${subject} answered ${code}: ${text}`);
  }

  serve(subject: string, handler: (payload: Uint8Array) => Promise<Uint8Array>): () => void {
    return this.#listen(subject, (msg) => {
      void respond(msg, handler);
    });
  }

  #listen(subject: string, handler: (msg: Msg) => void): () => void {
    const subscription = this.#link.nc.subscribe(subject, {
      callback: (error, msg) => {
        // The server closes a subscription it does not permit; everything else arrives as a message.
        if (error === null) handler(msg);
        else this.#link.tools.logger.error({ subject, error: error.message }, "cannot subscribe");
      },
    });
    return () => subscription.unsubscribe();
  }
}

/** Whoever asked has given up by the time that an answer cannot be sent: it is at most once, so that is no error. */
async function respond(
  msg: Msg,
  handler: (payload: Uint8Array) => Promise<Uint8Array>,
): Promise<void> {
  let payload = new Uint8Array(0);
  const fields = headers();
  try {
    payload = Uint8Array.from(await handler(msg.data));
  } catch (error) {
    fields.set(ERROR_CODE, error instanceof IsthmusError ? error.code : "500");
    // A header is one line.
    const text = error instanceof Error ? error.message : String(error);
    fields.set(ERROR_TEXT, text.replace(/\s+/g, " ").slice(0, 1_000));
  }
  try {
    msg.respond(payload, { headers: fields });
  } catch (error) {
    if (!isClosed(error)) throw error;
  }
}

const isClosed = (error: unknown): boolean =>
  error instanceof errors.ClosedConnectionError || error instanceof errors.DrainingConnectionError;
