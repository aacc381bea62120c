import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { LogMirror, MirrorState, StoredMessage } from "../../../topology/ports.ts";
import type { SimWorldParts } from "./sim-cache.ts";
import type { Links } from "./sim-links.ts";
import { askNats, type LogFaults, missing, type SimLog, SimStream } from "./sim-log.ts";
import type { SimProcess } from "./sim-process.ts";

/** One target's durable mirror of one origin's log, in the target's NATS server: it fills whether or not a process runs. */
export class SimMirror {
  readonly parts: SimWorldParts;
  readonly faults: LogFaults;
  readonly site: string;
  readonly origin: SimLog;
  readonly #links: Links;
  stream: SimStream | undefined;
  #originCreated = "";
  #from = 0;
  #made = 0;
  #isPulling = false;

  constructor(site: string, origin: SimLog, links: Links, faults: LogFaults) {
    this.parts = { ...origin.parts, random: origin.parts.random.fork() };
    this.site = site;
    this.origin = origin;
    this.#links = links;
    this.faults = faults;
    origin.onGrowth(() => this.#pull());
    links.onHeal(() => this.#pull());
  }

  connect(process: SimProcess): LogMirror {
    return new ConnectedMirror(this, process);
  }

  state(): MirrorState | undefined {
    if (this.stream === undefined) return undefined;
    return { ...this.stream.state(), originCreated: this.#originCreated };
  }

  recreate(afterSeq: number): void {
    const { origin } = this;
    if (!this.isLinked) {
      throw new IsthmusError(ErrorCode.PeerUnreachable, `${origin.site} does not answer`);
    }
    if (origin.stream === undefined) throw missing(origin.site);
    this.delete();
    this.#made += 1;
    this.stream = new SimStream(`${this.site} mirror of ${origin.site} ${this.#made}`);
    this.#originCreated = origin.stream.created;
    this.#from = afterSeq;
    this.#pull();
  }

  /** Deletes the mirror, as somebody with the NATS CLI does. */
  delete(): void {
    const { stream } = this;
    this.stream = undefined;
    stream?.wake();
  }

  get isLinked(): boolean {
    const { site, origin } = this;
    return this.#links.isUp(origin.site, site) && this.#links.isUp(site, origin.site);
  }

  /** Copies what the origin has, a few records at a time, until there is nothing left to copy. */
  #pull(): void {
    const { time, random } = this.parts;
    if (this.#isPulling) return;
    this.#isPulling = true;
    time.after(random.latency(10), () => {
      this.#isPulling = false;
      const log = this.origin.stream;
      const { stream } = this;
      if (stream === undefined || log?.created !== this.#originCreated || !this.isLinked) return;
      const after = Math.max(stream.lastSeq, this.#from);
      for (const record of log.after(after, 1 + random.below(4))) stream.store(record);
      if (log.lastSeq > Math.max(stream.lastSeq, this.#from)) this.#pull();
    });
  }
}

class ConnectedMirror implements LogMirror {
  readonly #mirror: SimMirror;
  readonly #process: SimProcess;

  constructor(mirror: SimMirror, process: SimProcess) {
    this.#mirror = mirror;
    this.#process = process;
  }

  state(): Promise<MirrorState | undefined> {
    return askNats(this.#mirror, this.#process, () => this.#mirror.state());
  }

  recreate(afterSeq: number): Promise<void> {
    return askNats(this.#mirror, this.#process, () => this.#mirror.recreate(afterSeq));
  }

  window(subject: string, afterSeq: number, upToSeq: number): Promise<readonly StoredMessage[]> {
    return askNats(this.#mirror, this.#process, () => {
      return this.#mirror.stream?.window(subject, afterSeq, upToSeq) ?? [];
    });
  }

  async *read(
    subject: string,
    afterSeq: number,
    created: string,
    signal: AbortSignal,
  ): AsyncGenerator<readonly StoredMessage[], void, undefined> {
    const mirror = this.#mirror;
    const { random } = mirror.parts;
    let after = afterSeq;
    while (!signal.aborted) {
      await this.#moment(random.latency(2), signal);
      if (signal.aborted) return;
      const { stream } = mirror;
      if (stream === undefined || stream.created !== created) {
        throw new IsthmusError(ErrorCode.MirrorReplaced, `the mirror ${created} is gone`);
      }
      const found = stream.window(subject, after, stream.lastSeq).slice(0, 1 + random.below(8));
      const last = found.at(-1);
      if (last === undefined) {
        await this.#change(stream, signal);
        continue;
      }
      after = last.seq;
      yield found;
    }
  }

  #moment(ms: number, signal: AbortSignal): Promise<void> {
    return this.#process.clock.sleep(ms, signal);
  }

  #change(stream: SimStream, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        cancel();
        this.#process.later(0, resolve);
      };
      const cancel = stream.onChange(wake);
      signal.addEventListener("abort", wake);
    });
  }
}
