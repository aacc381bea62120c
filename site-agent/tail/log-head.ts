import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { Ledger, LogState, PublishAck, Random, SiteLog } from "../../topology/ports.ts";

const FACT = "log/head";

/** Where the ledger knows the own log to be. */
export interface Head {
  /** Random id of this run of sequences: a log that is made anew or found truncated gets another. */
  readonly incarnation: string;
  /** Sequence of the last PubAck that the ledger has; 0 before the first. */
  readonly lastSeq: number;
  /** Creation time of the stream, as the log told it. */
  readonly created: string;
  /** An acknowledgement showed that the log had lost its end: by now it may be as long as before, with other records. */
  readonly lostItsEnd?: boolean;
}

/** A moment of a log. */
export type Standing = Pick<Head, "incarnation" | "lastSeq">;

/** What the log's end says about itself, for a ledger that was lost: the incarnation of its newest batch. */
export interface LogEnd {
  readonly incarnation: string;
}

/** Why the log cannot go on under its incarnation; undefined: it can. Pure. */
export function breakOf(head: Head | undefined, log: LogState | undefined): string | undefined {
  if (log === undefined) return "the log's stream is missing";
  if (head === undefined)
    return log.lastSeq === 0 ? undefined : "this ledger never wrote to the log";
  if (log.created !== head.created) return "the log's stream was made anew";
  if (head.lostItsEnd === true) return "the log acknowledged a sequence twice: it was truncated";
  if (log.lastSeq < head.lastSeq) {
    return `the log ends at ${log.lastSeq}, but ${head.lastSeq} was acknowledged: it was truncated`;
  }
  return undefined;
}

/**
 * The head of this site's own log: one incarnation, whose PubAcks only rise. A truncated or replaced log gets a new
 * incarnation and a new stream, so that no sequence ever means two records (I1, I6).
 */
export class LogHead {
  readonly #ledger: Ledger;
  readonly #log: SiteLog;
  readonly #random: Random;
  #head: Head | undefined;

  constructor(ledger: Ledger, log: SiteLog, random: Random) {
    this.#ledger = ledger;
    this.#log = log;
    this.#random = random;
    this.#head = ledger.fact(FACT) as Head | undefined;
  }

  /** The incarnation that batches carry. */
  get incarnation(): string {
    return this.#head?.incarnation ?? "";
  }

  get lastSeq(): number {
    return this.#head?.lastSeq ?? 0;
  }

  /** True if this ledger knows no log: with a log that has records, the ledger was lost. */
  get isNew(): boolean {
    return this.#head === undefined;
  }

  /** What the log says of itself now, and whether it is not as it was left: then it is to be checked. */
  async look(): Promise<{ state: LogState | undefined; isBroken: boolean }> {
    // Acknowledgements go on meanwhile: the answer is judged by what was known when it was asked for.
    const known = this.#head;
    const state = await this.#log.state();
    return { state, isBroken: breakOf(known, state) !== undefined };
  }

  /** Goes on with the log as another ledger of this site left it, which was lost. */
  async adopt(end: LogEnd): Promise<void> {
    const state = await this.#log.state();
    if (state === undefined) return;
    await this.#set({
      incarnation: end.incarnation,
      lastSeq: state.lastSeq,
      created: state.created,
    });
  }

  /**
   * To be called before anything is published, at start and at each reconnect. Resolves with the reason if a new
   * incarnation began, else undefined. `peersAt`: the highest sequence of this incarnation that any peer says it applied.
   */
  async check(peersAt: number): Promise<string | undefined> {
    // Acknowledgements go on meanwhile: the answer is judged by what was known when it was asked for.
    const known = this.#head;
    const state = await this.#log.state();
    let reason = breakOf(known, state);
    if (reason === undefined && state !== undefined) {
      if (this.#head !== undefined && state.lastSeq < peersAt) {
        reason = `a peer applied ${peersAt}, beyond the log's end ${state.lastSeq}`;
      } else if (this.#head !== undefined) return undefined;
    }
    const made = reason === undefined && state !== undefined ? state : await this.#log.recreate();
    const isFirst = this.#head === undefined;
    await this.#set({
      incarnation: this.#random.bytes(8).toString("hex"),
      lastSeq: 0,
      created: made.created,
    });
    return isFirst ? undefined : reason;
  }

  /** Where the log stands now: to be kept while a record is under way, for {@link acknowledged}. */
  get standing(): Standing {
    return { incarnation: this.incarnation, lastSeq: this.lastSeq };
  }

  /**
   * Stages a PubAck of a record that was sent when the log stood at `sent`: those of other caches may have come first.
   *
   * @throws LogTruncated if it is not above the last one that had come then, from there on until the log was checked, or if
   *   the log was made anew meanwhile
   */
  acknowledged(ack: PublishAck, sent: Standing): void {
    const head = this.#head;
    const isSame = head !== undefined && head.incarnation === sent.incarnation;
    const isBelow = !ack.duplicate && ack.seq <= sent.lastSeq;
    if (isSame && isBelow) this.#stage({ ...head, lostItsEnd: true });
    if (!isSame || isBelow || head.lostItsEnd === true) {
      throw new IsthmusError(
        ErrorCode.LogTruncated,
        isSame
          ? `the log acknowledged ${ack.seq} after it had lost its end: ${sent.lastSeq} was acknowledged before`
          : `the log was made anew before it acknowledged ${ack.seq}`,
        { hint: "A log that lost its end gets a new incarnation at the next check." },
      );
    }
    if (ack.seq <= head.lastSeq) return;
    this.#stage({ ...head, lastSeq: ack.seq });
  }

  #stage(head: Head): void {
    this.#head = head;
    this.#ledger.setFact(FACT, head);
  }

  async #set(head: Head): Promise<void> {
    this.#stage(head);
    await this.#ledger.sync();
  }
}
