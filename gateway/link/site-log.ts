import { DiscardPolicy, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { LOG_DUPLICATE_WINDOW_MS, LOG_PUBLISH_TIMEOUT_MS } from "../../topology/limits.ts";
import { logStream, logSubjects } from "../../topology/names.ts";
import type { LogState, PublishAck, SiteLog, StoredMessage } from "../../topology/ports.ts";
import { AckedPublisher, RefusedError } from "./acked-publisher.ts";
import type { NatsLink } from "./connect.ts";
import { ApiErrorCode, isApiError } from "./nats-error.ts";

/** How much a log, and each mirror of it, may hold. */
export interface LogLimits {
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  /** Copies within the site's own NATS cluster: 1, or 3 on an R3 cluster. */
  readonly replicas: number;
}

/** {@link SiteLog} in the site's own JetStream domain. */
export class NatsSiteLog implements SiteLog {
  readonly #link: NatsLink;
  readonly #limits: LogLimits;
  readonly #stream: string;
  readonly #publisher: AckedPublisher;
  /** The record that began this process's term. */
  #term: { readonly subject: string; readonly seq: number } | undefined;

  constructor(link: NatsLink, limits: LogLimits) {
    this.#link = link;
    this.#limits = limits;
    this.#stream = logStream(link.settings.site);
    this.#publisher = new AckedPublisher(link, this.#stream);
  }

  async state(): Promise<LogState | undefined> {
    const info = await this.#call("read the state of", (manager) => infoOf(manager, this.#stream));
    return info === undefined ? undefined : logState(info);
  }

  async publish(
    subject: string,
    payload: Uint8Array,
    msgId: string,
    signal: AbortSignal,
  ): Promise<PublishAck> {
    const attempt = { timeoutMs: LOG_PUBLISH_TIMEOUT_MS, signal };
    try {
      const expected = { msgId, lastOf: this.#term };
      return await this.#publisher.publish(subject, payload, expected, attempt);
    } catch (error) {
      const isOver =
        error instanceof RefusedError && error.number === ApiErrorCode.WrongLastSequence;
      if (!isOver) throw error;
      const message = `the log ${this.#stream} holds a newer term than this process's, or trimmed its own`;
      throw new IsthmusError(ErrorCode.TermOver, message, { cause: error });
    }
  }

  async beginTerm(
    subject: string,
    payload: Uint8Array,
    msgId: string,
    signal: AbortSignal,
  ): Promise<PublishAck> {
    const attempt = { timeoutMs: LOG_PUBLISH_TIMEOUT_MS, signal };
    const ack = await this.#publisher.publish(subject, payload, { msgId }, attempt);
    this.#term = { subject, seq: ack.seq };
    return ack;
  }

  async last(subject: string): Promise<StoredMessage | undefined> {
    return this.#call("read from", (manager) => lastRecord(manager, this.#stream, subject));
  }

  async recreate(): Promise<LogState> {
    return this.#call("make", async (manager) => {
      await deleteStream(manager, this.#stream);
      return logState(await manager.streams.add(this.#config()));
    });
  }

  async window(
    subject: string,
    afterSeq: number,
    upToSeq: number,
  ): Promise<readonly StoredMessage[]> {
    const range = { afterSeq, upToSeq };
    return this.#call("read from", (manager) =>
      recordsBetween(manager, this.#stream, subject, range),
    );
  }

  /** Gives an existing log the limits of the file; what is beyond them is trimmed by the server. @throws NatsUnreachable, LogRefused */
  async applyLimits(): Promise<void> {
    await this.#call("set the limits of", async (manager) => {
      if ((await infoOf(manager, this.#stream)) === undefined) return;
      await manager.streams.update(this.#stream, this.#config());
    });
  }

  #config() {
    const { site } = this.#link.settings;
    const { maxAgeMs, maxBytes, replicas } = this.#limits;
    return {
      name: this.#stream,
      description: `Isthmus: what was captured at ${site}`,
      subjects: [logSubjects(site)],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      // Beyond the limits the oldest goes, and whoever had not read it has a gap; refusing would stop every target for one
      // that is away.
      discard: DiscardPolicy.Old,
      max_age: nanos(maxAgeMs),
      max_bytes: maxBytes,
      duplicate_window: nanos(Math.min(LOG_DUPLICATE_WINDOW_MS, maxAgeMs)),
      num_replicas: replicas,
      // A direct read may come from a replica that lags.
      allow_direct: false,
    };
  }

  #call<T>(doing: string, call: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    return this.#link.api(`${doing} the log ${this.#stream}`, call);
  }
}

/** A stream's state as the server's leader knows it; undefined: there is no such stream. */
export async function infoOf(
  manager: JetStreamManager,
  stream: string,
): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(stream);
  } catch (error) {
    if (isApiError(error, ApiErrorCode.StreamNotFound)) return undefined;
    throw error;
  }
}

/** Deletes a stream; a missing one is fine. */
export async function deleteStream(manager: JetStreamManager, stream: string): Promise<void> {
  try {
    await manager.streams.delete(stream);
  } catch (error) {
    if (!isApiError(error, ApiErrorCode.StreamNotFound)) throw error;
  }
}

/** A subject's newest record, from the leader; undefined: none, or no stream. */
export async function lastRecord(
  manager: JetStreamManager,
  stream: string,
  subject: string,
): Promise<StoredMessage | undefined> {
  return recordAt(manager, stream, { last_by_subj: subject });
}

/** A subject's records in (afterSeq, upToSeq] as they are stored now, from the leader, one request each: for short ranges. */
export async function recordsBetween(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  range: { readonly afterSeq: number; readonly upToSeq: number },
): Promise<readonly StoredMessage[]> {
  const records: StoredMessage[] = [];
  for (let after = range.afterSeq; after < range.upToSeq;) {
    const query = { seq: after + 1, next_by_subj: subject };
    const record = await recordAt(manager, stream, query);
    if (record === undefined || record.seq > range.upToSeq) break;
    records.push(record);
    after = record.seq;
  }
  return records;
}

async function recordAt(
  manager: JetStreamManager,
  stream: string,
  query: { last_by_subj: string } | { seq: number; next_by_subj: string },
): Promise<StoredMessage | undefined> {
  try {
    const found = await manager.streams.getMessage(stream, query);
    if (found === null) return undefined;
    const { seq, data } = found;
    return { seq, subject: found.subject, payload: data, storedAtMs: found.time.getTime() };
  } catch (error) {
    if (isApiError(error, ApiErrorCode.NoMessage)) return undefined;
    if (isApiError(error, ApiErrorCode.StreamNotFound)) return undefined;
    throw error;
  }
}

/** The part of a stream's state that the ports speak of. */
export const logState = (info: StreamInfo): LogState => ({
  created: info.created,
  firstSeq: info.state.first_seq,
  lastSeq: info.state.last_seq,
});
