import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import type { ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import { createInbox, nanos } from "@nats-io/nats-core";
import type { Msg, Subscription } from "@nats-io/nats-core";
import { assert } from "../../topology/errors.ts";
import {
  MIRROR_READER_IDLE_MS,
  MIRROR_READ_BYTES_MAX,
  MIRROR_READ_EXPIRES_MS,
  MIRROR_READ_HEARTBEATS_MISSED_MAX,
  MIRROR_READ_HEARTBEAT_MS,
  MIRROR_READ_RECORDS_MAX,
} from "../../topology/limits.ts";
import type { StoredMessage } from "../../topology/ports.ts";
import type { NatsLink } from "./connect.ts";

/** Silence after which a consumer that owes heartbeats is taken for lost. */
const SILENCE_MS = MIRROR_READ_HEARTBEAT_MS * MIRROR_READ_HEARTBEATS_MISSED_MAX;

/** Makes a short-lived consumer of one subject of a stream, starting after `afterSeq`. */
export async function addReader(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  afterSeq: number,
): Promise<ConsumerInfo> {
  return manager.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: afterSeq + 1,
    filter_subject: subject,
    inactive_threshold: nanos(MIRROR_READER_IDLE_MS),
    mem_storage: true,
    num_replicas: 1,
  });
}

/**
 * Records that one such consumer delivers, pulled one window at a time: what is not taken yet bounds what is asked for
 * (I12). It ends at the first doubt (a hole in the delivery sequence, silence, an error status, a lost connection), and
 * then stays ended: the reader goes on with a new consumer from the last record it took.
 */
export class StreamFeed {
  readonly #link: NatsLink;
  readonly #subscription: Subscription;
  readonly #pullSubject: string;
  readonly #inbox = createInbox();
  readonly #cleanUps: Array<() => void> = [];
  #records: StoredMessage[] = [];
  #delivered = 0;
  #owed = 0;
  #heardAtMs = 0;
  #ended = false;
  #wake: (() => void) | undefined;
  #cancelTimer: () => void = () => undefined;

  constructor(link: NatsLink, stream: string, consumer: string, signal: AbortSignal) {
    const { domain } = link.settings;
    this.#link = link;
    this.#pullSubject = `$JS.${domain}.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#subscription = link.nc.subscribe(this.#inbox, {
      callback: (error, msg) => {
        if (error === null) this.#received(msg);
        else this.#end();
      },
    });
    const onAbort = (): void => this.#end();
    signal.addEventListener("abort", onAbort);
    this.#cleanUps.push(
      () => signal.removeEventListener("abort", onAbort),
      link.onChange(() => this.#end()),
    );
    if (signal.aborted || !link.connected) this.#end();
    else {
      this.#pull();
      this.#watchSilence();
    }
  }

  /** What gathered since the last call, at least one record; undefined: this feed has ended. */
  async next(): Promise<readonly StoredMessage[] | undefined> {
    while (this.#records.length === 0) {
      if (this.#ended) return undefined;
      assert(this.#wake === undefined, "two readers of one feed");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const records = this.#records;
    this.#records = [];
    if (this.#owed === 0 && !this.#ended) this.#pull();
    return records;
  }

  close(): void {
    this.#end();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }

  #pull(): void {
    this.#owed = MIRROR_READ_RECORDS_MAX;
    this.#heardAtMs = this.#link.tools.clock.monotonic();
    const request = {
      batch: MIRROR_READ_RECORDS_MAX,
      max_bytes: MIRROR_READ_BYTES_MAX,
      expires: nanos(MIRROR_READ_EXPIRES_MS),
      idle_heartbeat: nanos(MIRROR_READ_HEARTBEAT_MS),
    };
    this.#link.nc.publish(this.#pullSubject, JSON.stringify(request), { reply: this.#inbox });
  }

  #received(msg: Msg): void {
    if (this.#ended) return;
    this.#heardAtMs = this.#link.tools.clock.monotonic();
    if (msg.headers !== undefined && msg.headers.code !== 0 && msg.data.length === 0) {
      this.#status(msg.headers.code, msg.headers.description);
      return;
    }
    const delivery = parseDelivery(msg.reply ?? "");
    if (delivery === undefined || delivery.delivered !== this.#delivered + 1) {
      this.#end();
      return;
    }
    this.#delivered++;
    this.#owed--;
    const { seq, storedAtMs } = delivery;
    this.#records.push({ seq, subject: msg.subject, payload: msg.data, storedAtMs });
    this.#wake?.();
  }

  #status(code: number, description: string): void {
    const meaning = judgeStatus(code, description);
    if (meaning === "alive") return;
    if (meaning === "lost") {
      this.#end();
      return;
    }
    this.#owed = 0;
    if (this.#records.length === 0) this.#pull();
  }

  #watchSilence(): void {
    const { clock } = this.#link.tools;
    this.#cancelTimer = clock.after(SILENCE_MS, () => {
      const silent = this.#owed > 0 && clock.monotonic() - this.#heardAtMs > SILENCE_MS;
      if (silent) this.#end();
      else if (!this.#ended) this.#watchSilence();
    });
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelTimer();
    for (const cleanUp of this.#cleanUps) cleanUp();
    this.#wake?.();
  }
}

/** What a status message on a pull means (ADR-37): the consumer lives, the pull is over, or the consumer is lost. */
export function judgeStatus(code: number, description: string): "alive" | "over" | "lost" {
  if (code === 100) return "alive";
  if (code === 404 || code === 408) return "over";
  if (code === 409 && /exceeds maxbytes|batch completed/i.test(description)) return "over";
  return "lost";
}

/**
 * The reply subject of a delivered record: `$JS.ACK.<stream>.<consumer>.<tries>.<seq>.<delivered>.<nanos>.<pending>`, or the
 * later form with `<domain>.<account hash>` before the stream and more after (ADR-15). undefined: it is neither.
 */
export function parseDelivery(
  reply: string,
): { seq: number; delivered: number; storedAtMs: number } | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined;
  const at = tokens.length === 9 ? 5 : tokens.length >= 11 ? 7 : undefined;
  if (at === undefined) return undefined;
  const [seq, delivered, nanoseconds] = tokens.slice(at, at + 3).map(Number);
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(delivered)) return undefined;
  return {
    seq: seq ?? 0,
    delivered: delivered ?? 0,
    storedAtMs: Math.floor((nanoseconds ?? 0) / 1e6),
  };
}
