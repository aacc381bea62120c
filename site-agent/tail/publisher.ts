import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { BATCH_BYTES_MAX, BATCH_ROWS_MAX, RETRY_MS_MAX } from "../../topology/limits.ts";
import { type BatchHeader, joinBatch } from "../../topology/mutation/batch.ts";
import { type CacheName, logSubject, type SiteName } from "../../topology/names.ts";
import type { CacheLedger, Clock, OutboxRows, Random, SiteLog } from "../../topology/ports.ts";
import { Wakeup } from "../../topology/wakeup.ts";
import type { CacheStats } from "../cache-stats.ts";
import { lastCounter } from "./last-counter.ts";
import type { LogHead } from "./log-head.ts";

/** A batch that the log acknowledged. */
export interface PublishedBatch {
  readonly seq: number;
  /** In its header. */
  readonly counter: number;
  /** The newest outbox row in it. */
  readonly outboxSeq: number;
  readonly mutations: number;
  readonly bytes: number;
  /** ms since the epoch. */
  readonly at: number;
}

/** What {@link Publisher} needs of its site. */
export interface PublisherParts {
  readonly site: SiteName;
  readonly cache: CacheName;
  readonly rows: CacheLedger;
  readonly log: SiteLog;
  readonly head: LogHead;
  readonly stats: CacheStats;
  readonly clock: Clock;
  readonly random: Random;
  /** Random id of this run of the process, the first part of each message id. */
  readonly processId: string;
  /** The parts of a batch's header that are not the publisher's own. */
  readonly header: () => Omit<BatchHeader, "origin" | "cache" | "incarnation" | "counter">;
  /** The log fails: shown in status, tried again. */
  readonly onFailure: (error: unknown) => void;
  readonly onPublished: (batch: PublishedBatch) => void;
  /** The log was truncated or replaced: {@link LogHead.check} is to be run; publishing goes on after it resolved. */
  readonly onBroken: (error: IsthmusError) => Promise<void>;
}

/**
 * Sends one cache's outbox to the site's log: one batch in flight, at once when idle, else what gathered meanwhile. A batch
 * is resent byte-identical under its message id until it is acknowledged; only then do its rows leave the outbox. So a crash
 * can leave a duplicate, never a hole (I6).
 */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #subject: string;
  #counter = 0;
  #counterOf = "";
  #batches = 0;
  /** Rows up to here are in a batch. */
  #frozen = 0;
  readonly #wakeup = new Wakeup();

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#subject = logSubject(parts.site, parts.cache);
  }

  /** Outbox rows up to here cannot be replaced any more. */
  get frozenSeq(): number {
    return this.#frozen;
  }

  /** Something was queued. */
  kick(): void {
    this.#wakeup.call();
  }

  /** Publishes until the signal aborts; what is in flight then is left to the next start. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const batch = this.#parts.rows.outbox(this.#frozen, BATCH_ROWS_MAX, BATCH_BYTES_MAX);
      const last = batch.rows.at(-1);
      if (last === undefined) {
        await this.#wakeup.wait(signal);
        continue;
      }
      this.#frozen = last.seq;
      await this.#send(batch, signal);
    }
  }

  /** Resolves when the outbox is empty, at most after `ms`; true if it is. */
  async drained(ms: number): Promise<boolean> {
    const { clock, rows } = this.#parts;
    const until = clock.monotonic() + ms;
    while (rows.outboxSize().rows > 0 && clock.monotonic() < until) {
      this.kick();
      await clock.sleep(5);
    }
    return rows.outboxSize().rows === 0;
  }

  async #send(batch: OutboxRows, signal: AbortSignal): Promise<void> {
    const { rows, stats, head, clock, random, onPublished } = this.#parts;
    let frozen: Frozen | undefined;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        if (frozen === undefined || frozen.incarnation !== head.incarnation) {
          frozen = await this.#freeze(batch);
        }
        const { log } = this.#parts;
        const sent = { ...head.standing, incarnation: frozen.incarnation };
        const ack = await log.publish(this.#subject, frozen.payload, frozen.msgId, signal);
        head.acknowledged(ack, sent);
        this.#counter = frozen.counter;
        rows.acknowledge(this.#frozen);
        stats.publishedBatches += 1;
        stats.publishedMutations += batch.rows.length;
        stats.publishedBytes += frozen.payload.length;
        const bytes = frozen.payload.length;
        const sentBatch = { seq: ack.seq, counter: frozen.counter, outboxSeq: this.#frozen };
        onPublished({ ...sentBatch, mutations: batch.rows.length, bytes, at: clock.now() });
        return;
      } catch (error) {
        if (signal.aborted) return;
        stats.publishRetries += 1;
        await this.#failed(error);
        const waits = { firstMs: 10, mostMs: RETRY_MS_MAX };
        await clock.sleep(backOffMs(attempt, waits, random), signal);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    const isBroken =
      error instanceof IsthmusError &&
      (error.code === ErrorCode.LogTruncated ||
        error.code === ErrorCode.LogMissing ||
        error.code === ErrorCode.TermOver);
    if (!isBroken) {
      this.#parts.onFailure(error);
      return;
    }
    try {
      await this.#parts.onBroken(error);
    } catch (cause) {
      this.#parts.onFailure(cause);
    }
  }

  /** Encodes a batch once for this incarnation; its counter goes on from the subject's last batch in the log. */
  async #freeze(batch: OutboxRows): Promise<Frozen> {
    const { site, cache, head, log, header, processId } = this.#parts;
    const incarnation = head.incarnation;
    if (this.#counterOf !== incarnation) {
      this.#counter = await lastCounter(log, this.#subject, incarnation);
      this.#counterOf = incarnation;
    }
    const counter = this.#counter + 1;
    this.#batches += 1;
    const parts = { origin: site, cache, incarnation, counter, ...header() };
    const payload = joinBatch(
      parts,
      batch.sites,
      batch.rows.map(({ packed }) => packed),
    );
    const msgId = `${processId}/${cache}/${incarnation}/${this.#batches}`;
    return { payload, msgId, counter, incarnation };
  }
}

interface Frozen {
  readonly payload: Buffer;
  readonly msgId: string;
  readonly counter: number;
  readonly incarnation: string;
}
