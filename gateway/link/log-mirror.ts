import { AckPolicy, DeliverPolicy, DiscardPolicy, StorageType } from "@nats-io/jetstream";
import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { MIRROR_CHECK_MS, MIRROR_PENDING_RECORDS_MAX } from "../../topology/limits.ts";
import {
  logStream,
  mirrorConsumer,
  mirrorDeliverSubject,
  mirrorStream,
} from "../../topology/names.ts";
import type { SiteName } from "../../topology/names.ts";
import type { LogMirror, MirrorState, StoredMessage } from "../../topology/ports.ts";
import type { NatsLink } from "./connect.ts";
import { ApiErrorCode, isApiError, linkError } from "./nats-error.ts";
import { retryDelayMs } from "./retry.ts";
import { deleteStream, infoOf, logState, recordsBetween } from "./site-log.ts";
import type { LogLimits } from "./site-log.ts";
import { StreamFeed, addReader } from "./stream-feed.ts";

/** The mirror's own note of which log it was made for. */
const ORIGIN_CREATED = "isthmus-origin-created";

/**
 * {@link LogMirror}: a JetStream mirror in this site's domain, fed by a durable consumer with flow-control acks in the
 * origin's domain (ADR-60), which catches up about a second after a cut.
 *
 * A mirror never follows a log other than the one it was made for: a missing durable consumer is made anew only on that
 * log. So no record of two incarnations is ever mixed, and a new log waits until the reader asks for `recreate`.
 */
export class NatsLogMirror implements LogMirror {
  readonly #link: NatsLink;
  readonly #origin: { readonly site: SiteName; readonly domain: string };
  readonly #limits: LogLimits;
  readonly #stream: string;
  readonly #log: string;
  readonly #consumer: string;
  #last: Promise<void> = Promise.resolve();

  constructor(
    link: NatsLink,
    origin: { readonly site: SiteName; readonly domain: string },
    limits: LogLimits,
  ) {
    this.#link = link;
    this.#origin = origin;
    this.#limits = limits;
    this.#stream = mirrorStream(origin.site);
    this.#log = logStream(origin.site);
    this.#consumer = mirrorConsumer(link.settings.site);
  }

  async state(): Promise<MirrorState | undefined> {
    const info = await this.#here("read the state of", (manager) => infoOf(manager, this.#stream));
    if (info === undefined) return undefined;
    return { ...logState(info), originCreated: originCreatedOf(info) };
  }

  async recreate(afterSeq: number): Promise<void> {
    await this.#exclusive(() => this.#remake(afterSeq));
  }

  async #remake(afterSeq: number): Promise<void> {
    const log = await this.#originLog();
    await this.#here("delete", (manager) => deleteStream(manager, this.#stream));
    await this.#there(async (manager) => {
      await deleteConsumer(manager, this.#log, this.#consumer);
      await this.#addConsumer(manager, afterSeq);
    });
    await this.#here("make", async (manager) => {
      await manager.streams.add(this.#config(log.created));
    });
  }

  async window(
    subject: string,
    afterSeq: number,
    upToSeq: number,
  ): Promise<readonly StoredMessage[]> {
    const range = { afterSeq, upToSeq };
    return this.#here("read from", (manager) =>
      recordsBetween(manager, this.#stream, subject, range),
    );
  }

  async *read(
    subject: string,
    afterSeq: number,
    created: string,
    signal: AbortSignal,
  ): AsyncGenerator<readonly StoredMessage[], void, undefined> {
    const { clock, random } = this.#link.tools;
    let after = afterSeq;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const reader = await this.#openReader(subject, after, created);
      if (reader !== undefined) {
        const feed = new StreamFeed(this.#link, this.#stream, reader, signal);
        try {
          for (let chunk = await feed.next(); chunk !== undefined; chunk = await feed.next()) {
            attempt = 0;
            after = chunk.at(-1)?.seq ?? after;
            yield chunk;
          }
        } finally {
          feed.close();
          this.#dropReader(reader);
        }
      }
      await clock.sleep(retryDelayMs(attempt + 1, random), signal);
    }
  }

  /**
   * Keeps the mirror: makes it when there is none, gives it the file's limits, makes its durable consumer anew when that
   * is missing. While the origin is away it goes on trying, and what was mirrored earlier can be read. Ends with the signal.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#link.tools;
    const about = { origin: this.#origin.site, target: this.#link.settings.site };
    let reported: string | undefined;
    while (!signal.aborted) {
      const problem = await this.#keep();
      // Once a change, not once a try: an origin may be away for hours.
      if (problem !== undefined && problem.code !== reported)
        logger.warn({ ...about, code: problem.code }, problem.message);
      if (problem === undefined && reported !== undefined)
        logger.info(about, "mirror is kept again");
      reported = problem?.code;
      await clock.sleep(MIRROR_CHECK_MS, signal);
    }
  }

  async #keep(): Promise<IsthmusError | undefined> {
    try {
      await this.#exclusive(async () => {
        const info = await this.#here("check", (manager) => infoOf(manager, this.#stream));
        if (info === undefined) await this.#remake(0);
        else {
          await this.#keepLimits(info);
          await this.#keepConsumer(originCreatedOf(info));
        }
      });
      return undefined;
    } catch (error) {
      if (error instanceof IsthmusError) return error;
      throw error;
    }
  }

  /** One change of mirror and consumer at a time: a half-made mirror must not look like a missing one. */
  async #exclusive(fn: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(fn);
    this.#last = turn.catch(() => undefined);
    await turn;
  }

  async #keepLimits({ config }: StreamInfo): Promise<void> {
    const { max_age, max_bytes } = this.#config("");
    if (config.max_age === max_age && config.max_bytes === max_bytes) return;
    await this.#here("set the limits of", async (manager) => {
      await manager.streams.update(this.#stream, { max_age, max_bytes });
    });
  }

  async #keepConsumer(originCreated: string): Promise<void> {
    const found = await this.#there((manager) =>
      consumerExists(manager, this.#log, this.#consumer),
    );
    if (found) return;
    const log = await this.#originLog();
    if (log.created === originCreated)
      await this.#there((manager) => this.#addConsumer(manager, 0));
    else
      throw new IsthmusError(
        ErrorCode.MirrorReplaced,
        `the log of ${this.#origin.site} was made anew at ${log.created}; the mirror here is of the one made at ` +
          `${originCreated} and stays until it has been applied to its end`,
      );
  }

  async #originLog(): Promise<StreamInfo> {
    const info = await this.#there((manager) => infoOf(manager, this.#log));
    if (info !== undefined) return info;
    const { site, domain } = this.#origin;
    const message = `${site} has no log yet: no stream ${this.#log} in JetStream domain ${domain}`;
    throw new IsthmusError(ErrorCode.LogMissing, message);
  }

  /** The mirror itself moves the consumer to where it stands each time that it binds to it. */
  async #addConsumer(manager: JetStreamManager, afterSeq: number): Promise<void> {
    await manager.consumers.add(this.#log, {
      durable_name: this.#consumer,
      deliver_subject: this.#deliverSubject(),
      ack_policy: AckPolicy.FlowControl,
      flow_control: true,
      idle_heartbeat: nanos(1_000),
      max_ack_pending: MIRROR_PENDING_RECORDS_MAX,
      ...(afterSeq === 0
        ? { deliver_policy: DeliverPolicy.All }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: afterSeq + 1 }),
    });
  }

  #config(originCreated: string) {
    const { maxAgeMs, maxBytes, replicas } = this.#limits;
    return {
      name: this.#stream,
      description: `Isthmus: mirror of what was captured at ${this.#origin.site}`,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_age: nanos(maxAgeMs),
      max_bytes: maxBytes,
      num_replicas: replicas,
      allow_direct: false,
      metadata: { [ORIGIN_CREATED]: originCreated },
      mirror: {
        name: this.#log,
        external: { api: `$JS.${this.#origin.domain}.API`, deliver: "" },
        consumer: { name: this.#consumer, deliver_subject: this.#deliverSubject() },
      },
    };
  }

  #deliverSubject(): string {
    return mirrorDeliverSubject(this.#origin.site, this.#link.settings.site);
  }

  /** The name of a new reader on this very mirror; undefined: the site's NATS does not answer now. */
  async #openReader(
    subject: string,
    afterSeq: number,
    created: string,
  ): Promise<string | undefined> {
    const gone = (found: string): IsthmusError =>
      new IsthmusError(
        ErrorCode.MirrorReplaced,
        `expected the mirror ${this.#stream} made at ${created}, found ${found}`,
      );
    if (!this.#link.connected) return undefined;
    try {
      const manager = await this.#link.manager();
      const { name } = await addReader(manager, this.#stream, subject, afterSeq);
      // After the reader was made: a stream deleted in between takes the reader along.
      const info = await infoOf(manager, this.#stream);
      if (info?.created !== created) throw gone(info === undefined ? "none" : info.created);
      return name;
    } catch (error) {
      if (isApiError(error, ApiErrorCode.StreamNotFound)) throw gone("none");
      const failure = linkError(error, `read ${this.#stream}`);
      if (failure.code === ErrorCode.MirrorReplaced) throw failure;
      const { code, message } = failure;
      this.#link.tools.logger.debug({ code, stream: this.#stream }, message);
      return undefined;
    }
  }

  /** Best effort: the server drops an idle reader by itself. */
  #dropReader(name: string): void {
    if (!this.#link.connected) return;
    void this.#link
      .manager()
      .then((manager) => manager.consumers.delete(this.#stream, name))
      .catch(() => undefined);
  }

  #here<T>(doing: string, call: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    return this.#link.api(`${doing} the mirror ${this.#stream}`, call);
  }

  #there<T>(call: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    const { site, domain } = this.#origin;
    const what = `prepare the mirror ${this.#stream} at its origin ${site} (JetStream domain ${domain})`;
    return this.#link.api(what, call, domain);
  }
}

const originCreatedOf = (info: StreamInfo): string => info.config.metadata?.[ORIGIN_CREATED] ?? "";

async function consumerExists(
  manager: JetStreamManager,
  stream: string,
  consumer: string,
): Promise<boolean> {
  try {
    await manager.consumers.info(stream, consumer);
    return true;
  } catch (error) {
    if (isApiError(error, ApiErrorCode.ConsumerNotFound)) return false;
    if (isApiError(error, ApiErrorCode.StreamNotFound)) return false;
    throw error;
  }
}

async function deleteConsumer(
  manager: JetStreamManager,
  stream: string,
  consumer: string,
): Promise<void> {
  try {
    await manager.consumers.delete(stream, consumer);
  } catch (error) {
    if (!isApiError(error, ApiErrorCode.ConsumerNotFound)) throw error;
  }
}
