import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { LOG_DUPLICATE_WINDOW_MS, LOG_PUBLISH_TIMEOUT_MS } from "../../../topology/limits.ts";
import type { LogState, PublishAck, SiteLog, StoredMessage } from "../../../topology/ports.ts";
import type { SimWorldParts } from "./sim-cache.ts";
import { EPOCH_MS, type SimProcess } from "./sim-process.ts";

/** Probabilities of what may go wrong with one record. */
export interface LogFaults {
  /** No answer in time; stored, not stored, or stored later, in equal parts. */
  publishTimeout: number;
  /** The site's own NATS cannot be reached for one request. */
  unreachable: number;
}

/** A stream as a NATS server stores it: the log of an origin, or a target's mirror. It survives every process. */
export class SimStream {
  readonly created: string;
  readonly records: StoredMessage[] = [];
  firstSeq = 0;
  lastSeq = 0;
  readonly #waiting = new Set<() => void>();

  constructor(created: string) {
    this.created = created;
  }

  /** Appends a record, at `record.seq`. */
  store(record: StoredMessage): void {
    this.records.push(record);
    if (this.firstSeq === 0) this.firstSeq = record.seq;
    this.lastSeq = record.seq;
    this.wake();
  }

  /** Drops the records up to `seq`, as a limit does. */
  trim(seq: number): void {
    const end = Math.min(seq, this.lastSeq);
    while ((this.records[0]?.seq ?? Number.POSITIVE_INFINITY) <= end) this.records.shift();
    this.firstSeq = this.records[0]?.seq ?? this.lastSeq + 1;
  }

  /** Loses the records above `seq`, as a restored backup does. */
  truncate(seq: number): void {
    while ((this.records.at(-1)?.seq ?? 0) > seq) this.records.pop();
    this.lastSeq = Math.min(this.lastSeq, seq);
    if (this.records.length === 0) this.firstSeq = this.lastSeq + (this.lastSeq > 0 ? 1 : 0);
  }

  state(): LogState {
    return { created: this.created, firstSeq: this.firstSeq, lastSeq: this.lastSeq };
  }

  /** The records of a subject in (afterSeq, upToSeq]. */
  window(subject: string, afterSeq: number, upToSeq: number): StoredMessage[] {
    const found: StoredMessage[] = [];
    for (let i = this.#first(afterSeq + 1); i < this.records.length; i++) {
      const record = this.records[i] as StoredMessage;
      if (record.seq > upToSeq) break;
      if (matches(subject, record.subject)) found.push(record);
    }
    return found;
  }

  /** The newest record of a subject. */
  last(subject: string): StoredMessage | undefined {
    return this.records.findLast((record) => matches(subject, record.subject));
  }

  /** At most `count` records behind `afterSeq`. */
  after(afterSeq: number, count: number): StoredMessage[] {
    const first = this.#first(afterSeq + 1);
    return this.records.slice(first, first + count);
  }

  /** Index of the first record at or behind `seq`. */
  #first(seq: number): number {
    let [low, high] = [0, this.records.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.records[middle]?.seq ?? seq) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Calls `fn` once at the next record, or when the stream goes. */
  onChange(fn: () => void): () => void {
    this.#waiting.add(fn);
    return () => this.#waiting.delete(fn);
  }

  wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const fn of waiting) fn();
  }
}

function matches(filter: string, subject: string): boolean {
  return filter.endsWith(".>") ? subject.startsWith(filter.slice(0, -1)) : filter === subject;
}

/** The record that began a process's term. */
interface TermRecord {
  readonly subject: string;
  readonly seq: number;
}

/** The log of one site in its own NATS server. */
export class SimLog {
  readonly parts: SimWorldParts;
  readonly faults: LogFaults;
  readonly site: string;
  /** undefined: there is none. */
  stream: SimStream | undefined;
  /** Called for each record that is stored. */
  onStored: (record: StoredMessage) => void = () => undefined;
  readonly #watchers: Array<() => void> = [];
  readonly #ids = new Map<string, { seq: number; at: number }>();
  #made = 0;

  constructor(site: string, parts: SimWorldParts, faults: LogFaults) {
    this.site = site;
    this.parts = { ...parts, random: parts.random.fork() };
    this.faults = faults;
  }

  /** Calls `fn` after each record that is stored. */
  onGrowth(fn: () => void): void {
    this.#watchers.push(fn);
  }

  /** The log as one process reaches it. */
  connect(process: SimProcess): SiteLog {
    return new ConnectedLog(this, process);
  }

  make(): SimStream {
    this.stream?.wake();
    this.#made += 1;
    this.#ids.clear();
    this.stream = new SimStream(`${this.site} log ${this.#made}`);
    return this.stream;
  }

  /** Deletes the stream, as somebody with the NATS CLI does. */
  delete(): void {
    this.stream?.wake();
    this.stream = undefined;
    this.#ids.clear();
  }

  /** Loses the records above `seq`, and with them the ids by which they would be known again. */
  truncate(seq: number): void {
    this.stream?.truncate(seq);
    for (const [id, known] of this.#ids) if (known.seq > seq) this.#ids.delete(id);
  }

  /** `term`: the record that must be the newest of its subject. */
  store(subject: string, payload: Buffer, msgId: string, term?: TermRecord): PublishAck {
    const { stream } = this;
    if (stream === undefined) throw missing(this.site);
    if (term !== undefined) {
      const newest = stream.last(term.subject)?.seq ?? 0;
      if (newest !== term.seq) {
        this.parts.counts.add("rare: record of a term that is over refused");
        throw new IsthmusError(ErrorCode.TermOver, `the term of ${this.site} is over`);
      }
    }
    const { now } = this.parts.time;
    const known = this.#ids.get(msgId);
    if (known !== undefined && now - known.at < LOG_DUPLICATE_WINDOW_MS) {
      this.parts.counts.add("rare: record sent twice, known by its id");
      return { seq: known.seq, duplicate: true };
    }
    const seq = stream.lastSeq + 1;
    const record = { seq, subject, payload, storedAtMs: EPOCH_MS + now };
    this.#ids.set(msgId, { seq, at: now });
    stream.store(record);
    this.onStored(record);
    for (const watcher of this.#watchers) watcher();
    return { seq, duplicate: false };
  }

  /** Stores a record that is of no process of Isthmus. */
  forge(subject: string, payload: Buffer, msgId: string): void {
    const { onStored } = this;
    this.onStored = () => undefined;
    this.store(subject, payload, msgId);
    this.onStored = onStored;
  }
}

class ConnectedLog implements SiteLog {
  readonly #log: SimLog;
  readonly #process: SimProcess;
  #term: TermRecord | undefined;

  constructor(log: SimLog, process: SimProcess) {
    this.#log = log;
    this.#process = process;
  }

  state(): Promise<LogState | undefined> {
    return this.#ask(() => this.#log.stream?.state());
  }

  publish(
    subject: string,
    payload: Uint8Array,
    msgId: string,
    signal: AbortSignal,
  ): Promise<PublishAck> {
    const log = this.#log;
    const process = this.#process;
    const { random, time, counts } = log.parts;
    const bytes = Buffer.from(payload);
    const term = this.#term;
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const abort = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", abort);
      const later = (ms: number, fn: () => void): void => {
        process.later(ms, () => {
          signal.removeEventListener("abort", abort);
          fn();
        });
      };
      const store = (): PublishAck | IsthmusError => {
        try {
          return log.store(subject, bytes, msgId, term);
        } catch (error) {
          return error as IsthmusError;
        }
      };
      const arrives = random.latency(2);
      if (random.chance(log.faults.publishTimeout)) {
        const end = random.pick(["not stored", "stored", "stored later"]);
        counts.add(`fault: publish timeout, ${end}`);
        const late = LOG_PUBLISH_TIMEOUT_MS + random.latency(100);
        if (end !== "not stored") time.after(end === "stored" ? arrives : late, () => void store());
        later(LOG_PUBLISH_TIMEOUT_MS, () =>
          reject(new IsthmusError(ErrorCode.LogTimeout, `the log of ${log.site} did not confirm`)),
        );
        return;
      }
      time.after(arrives, () => {
        const end = store();
        later(random.latency(2), () => {
          if (end instanceof IsthmusError) reject(end);
          else resolve(end);
        });
      });
    });
  }

  async beginTerm(
    subject: string,
    payload: Uint8Array,
    msgId: string,
    signal: AbortSignal,
  ): Promise<PublishAck> {
    this.#term = undefined;
    const ack = await this.publish(subject, payload, msgId, signal);
    this.#term = { subject, seq: ack.seq };
    return ack;
  }

  last(subject: string): Promise<StoredMessage | undefined> {
    return this.#ask(() => {
      return this.#log.stream?.last(subject);
    });
  }

  recreate(): Promise<LogState> {
    return this.#ask(() => this.#log.make().state());
  }

  window(subject: string, afterSeq: number, upToSeq: number): Promise<readonly StoredMessage[]> {
    return this.#ask(() => this.#log.stream?.window(subject, afterSeq, upToSeq) ?? []);
  }

  #ask<T>(work: () => T): Promise<T> {
    return askNats(this.#log, this.#process, work);
  }
}

/** One request to the site's own NATS. */
export function askNats<T>(
  log: { readonly parts: SimWorldParts; readonly faults: LogFaults; readonly site: string },
  process: SimProcess,
  work: () => T,
): Promise<T> {
  const { random, time, counts } = log.parts;
  return new Promise((resolve, reject) => {
    if (random.chance(log.faults.unreachable)) {
      counts.add("fault: NATS unreachable");
      const failure = new IsthmusError(ErrorCode.NatsUnreachable, `no NATS at ${log.site}`);
      process.later(random.latency(20), () => reject(failure));
      return;
    }
    time.after(random.latency(2), () => {
      let answer: T;
      try {
        answer = work();
      } catch (error) {
        process.later(random.latency(2), () => reject(error));
        return;
      }
      process.later(random.latency(2), () => resolve(answer));
    });
  });
}

export const missing = (site: string): IsthmusError =>
  new IsthmusError(ErrorCode.LogMissing, `${site} has no log`);
