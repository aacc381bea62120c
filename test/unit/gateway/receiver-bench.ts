import { PositionStore } from "../../../gateway/receive/position-store.ts";
import type { Receiving } from "../../../gateway/receive/accept.ts";
import { type DeadLetter, Receiver } from "../../../gateway/receive/receiver.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { type BatchHeader, encodeBatch } from "../../../topology/mutation/batch.ts";
import type {
  ApplyOutcome,
  CacheHands,
  LogMirror,
  StoredMessage,
} from "../../../topology/ports.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import type { Arrival } from "../../../topology/version/join.ts";
import { MemoryLogger } from "../../support/real-time.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

/** A mirror in memory that grows as a test says. */
export class MemoryMirror implements Pick<LogMirror, "read"> {
  readonly records: StoredMessage[] = [];
  /** Where each read began. */
  readonly readsFrom: number[] = [];
  #wake: Array<() => void> = [];
  #replaced = false;

  add(payload: Uint8Array, seq = (this.records.at(-1)?.seq ?? 0) + 1): number {
    this.records.push({ seq, subject: "", payload, storedAtMs: 0 });
    this.#change();
    return seq;
  }

  /** The mirror is made anew: a read of the old one fails. */
  replace(): void {
    this.#replaced = true;
    this.#change();
  }

  async *read(
    _subject: string,
    afterSeq: number,
    _created: string,
    signal: AbortSignal,
  ): AsyncGenerator<readonly StoredMessage[]> {
    this.readsFrom.push(afterSeq);
    signal.addEventListener("abort", () => this.#change());
    this.#replaced = false;
    let at = afterSeq;
    while (!signal.aborted) {
      if (this.#replaced) throw new IsthmusError(ErrorCode.MirrorReplaced, "made anew");
      const chunk = this.records.filter(({ seq }) => seq > at).slice(0, 3);
      at = chunk.at(-1)?.seq ?? at;
      if (chunk.length > 0) yield chunk;
      else await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  #change(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** What a batch of the bench holds: keys with the ms of their dots. */
export type Put = readonly [key: string, dotMs: number];

/** One receiver of one cache over a mirror, a ledger and hands that a test moves. */
export class ReceiverBench {
  readonly machine: VirtualMachine;
  readonly mirror = new MemoryMirror();
  readonly log = new MemoryLogger();
  /** Every apply that was begun, `key@dotMs,…`, with the apply bound that was on disk then. */
  readonly applies: Array<{ what: string; bound: number }> = [];
  readonly announced: boolean[] = [];
  readonly gaps: string[] = [];
  readonly letters: DeadLetter[] = [];
  /** What `apply` does of a key beside being noted: throws, or waits. */
  onApply: (key: string, arrivals: readonly Arrival[]) => Promise<void> | void = () => undefined;
  receiving: Receiving = {
    origin: "nyc",
    cache: "sessions",
    mode: "async",
    isTarget: true,
    policyHash: "p",
    originPolicyHash: "p",
    mediaType: "text/plain",
  };
  receiver!: Receiver;
  #running: Promise<void> = Promise.resolve();
  #stop = new AbortController();
  #counter = 0;

  constructor(seed = 1) {
    this.machine = new VirtualMachine(seed);
    this.start();
  }

  get positions(): PositionStore {
    return new PositionStore(this.machine.ledger);
  }

  get position() {
    return this.positions.get("nyc", "sessions");
  }

  start(): void {
    const { machine } = this;
    this.#stop = new AbortController();
    this.receiver = new Receiver({
      site: "lon",
      origin: "nyc",
      cache: "sessions",
      mayForget: () => true,
      mirror: this.mirror as unknown as LogMirror,
      ledger: machine.ledger,
      positions: this.positions,
      hands: { apply: (key, arrivals) => this.#apply(key, arrivals) } as CacheHands,
      receiving: () => this.receiving,
      offsetMs: () => 0,
      clock: machine.clock,
      random: machine.random,
      logger: this.log,
      onApplied: (urgent) => this.announced.push(urgent),
      onGap: (reason) => this.gaps.push(reason),
      onDeadLetter: (letter) => this.letters.push(letter),
    });
    this.#running = this.receiver.run("created", this.#stop.signal);
    this.#running.catch(() => undefined);
  }

  /** A batch of the origin with the next counter. */
  batch(puts: readonly Put[], header: Partial<BatchHeader> = {}): Buffer {
    this.#counter = header.counter ?? this.#counter + 1;
    const mutations = puts.map(([key, ms]) => ({
      key,
      kind: "put" as const,
      dot: makeDot(ms, 0),
      context: new Map(),
      at: ms,
      hash: hashOf(`${key}${ms}`),
      expiresAt: 0,
      maxIdleMs: 0,
      value: Buffer.from(`${key}${ms}`),
    }));
    const base = { origin: "nyc", cache: "sessions", epoch: 1, term: 1, incarnation: "i1" };
    const more = { policyHash: "p", mode: "async", offsets: new Map(), mediaType: "text/plain" };
    return encodeBatch(
      { ...base, ...more, held: false, counter: this.#counter, ...header } as BatchHeader,
      mutations,
    );
  }

  /** Waits until all that the mirror holds is applied or passed. */
  async level(): Promise<void> {
    const last = this.mirror.records.at(-1)?.seq ?? 0;
    await this.machine.until(() => this.receiver.applied().seq === last);
    await this.machine.settle(this.machine.ledger.commit());
  }

  /** Ends the run in order; rejects with what ended it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.machine.settle(this.#running);
  }

  /** What ended the run by itself. */
  async ended(): Promise<unknown> {
    return this.machine.settle(
      this.#running.then(
        () => undefined,
        (error: unknown) => error,
      ),
    );
  }

  crash(): void {
    this.#stop.abort();
    this.machine.restart();
    this.start();
  }

  async #apply(key: string, arrivals: readonly Arrival[]): Promise<ApplyOutcome> {
    const onDisk = this.machine.disk.get("fact\0bound/nyc/sessions");
    const dots = arrivals.map(({ dot }) => dot >> 16n).join();
    this.applies.push({ what: `${key}@${dots}`, bound: Number(onDisk ?? 0) });
    await this.onApply(key, arrivals);
    return "written";
  }
}
