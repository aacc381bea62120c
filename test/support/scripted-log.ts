import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { LogState, PublishAck, SiteLog, StoredMessage } from "../../topology/ports.ts";

/** What becomes of the next record that is published. */
export type PublishFate =
  /** It is stored, but the answer is lost. */
  | "stored, no answer"
  /** It is not stored, and no answer comes. */
  | "not stored"
  /** It stays under way until {@link ScriptedLog.answer}. */
  | "slow";

/** One call of `publish`. */
export interface Sent {
  readonly subject: string;
  readonly payload: Buffer;
  readonly msgId: string;
}

/** A site's log in memory, which a test can damage, or make fail, between two records. */
export class ScriptedLog implements SiteLog {
  records: StoredMessage[] = [];
  /** Every attempt, in order. */
  readonly sent: Sent[] = [];
  /** Attempts that have no answer yet. */
  inFlight = 0;
  /** How often the stream was made. */
  made = 0;
  /** Taken from the front, one for each attempt. */
  fates: PublishFate[] = [];
  /** Answers to {@link state} wait for {@link answerState}, and tell how the log stood when it was asked. */
  slowState = false;
  #exists = false;
  #ids = new Map<string, number>();
  #lastSeq = 0;
  readonly #slow: Array<() => void> = [];
  readonly #slowStates: Array<() => void> = [];

  /** Stores a record, as a process of an earlier run would have. */
  store(subject: string, payload: Uint8Array): number {
    this.#lastSeq += 1;
    const bytes = Buffer.from(payload);
    this.records.push({ seq: this.#lastSeq, subject, payload: bytes, storedAtMs: 0 });
    return this.#lastSeq;
  }

  /** Loses all records behind `seq`, as a restored backup would. */
  truncate(seq: number): void {
    this.records = this.records.filter((record) => record.seq <= seq);
    this.#lastSeq = Math.min(seq, this.#lastSeq);
    this.#ids = new Map();
  }

  /** Somebody deletes the stream. */
  drop(): void {
    this.#exists = false;
    this.records = [];
  }

  /** The oldest record that is under way arrives. */
  answer(): void {
    this.#slow.shift()?.();
  }

  answerState(): void {
    this.slowState = false;
    for (const answer of this.#slowStates.splice(0)) answer();
  }

  async state(): Promise<LogState | undefined> {
    const found = this.#exists ? this.#state() : undefined;
    if (this.slowState) await new Promise<void>((resolve) => this.#slowStates.push(resolve));
    return found;
  }

  async publish(subject: string, payload: Uint8Array, msgId: string): Promise<PublishAck> {
    const bytes = Buffer.from(payload);
    this.sent.push({ subject, payload: bytes, msgId });
    const fate = this.fates.shift();
    this.inFlight += 1;
    if (fate === "slow") await new Promise<void>((resolve) => this.#slow.push(resolve));
    this.inFlight -= 1;
    if (!this.#exists) throw new IsthmusError(ErrorCode.LogMissing, "no stream");
    if (fate === "not stored") throw new IsthmusError(ErrorCode.LogTimeout, "no answer");
    const known = this.#ids.get(msgId);
    const seq = known ?? this.store(subject, bytes);
    this.#ids.set(msgId, seq);
    if (fate === "stored, no answer") throw new IsthmusError(ErrorCode.LogTimeout, "no answer");
    return { seq, duplicate: known !== undefined };
  }

  beginTerm(subject: string, payload: Uint8Array, msgId: string): Promise<PublishAck> {
    return this.publish(subject, payload, msgId);
  }

  last(subject: string): Promise<StoredMessage | undefined> {
    return Promise.resolve(this.records.findLast((record) => record.subject === subject));
  }

  recreate(): Promise<LogState> {
    this.made += 1;
    this.#exists = true;
    this.records = [];
    this.#lastSeq = 0;
    this.#ids = new Map();
    return Promise.resolve(this.#state());
  }

  window(subject: string, afterSeq: number, upToSeq: number): Promise<readonly StoredMessage[]> {
    const within = ({ seq }: StoredMessage) => seq > afterSeq && seq <= upToSeq;
    return Promise.resolve(
      this.records.filter((record) => record.subject === subject && within(record)),
    );
  }

  #state(): LogState {
    const firstSeq = this.records[0]?.seq ?? (this.#lastSeq === 0 ? 0 : this.#lastSeq + 1);
    return { created: `stream ${this.made}`, firstSeq, lastSeq: this.#lastSeq };
  }
}
