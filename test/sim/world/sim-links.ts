import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { Bus } from "../../../topology/ports.ts";
import type { SimWorldParts } from "./sim-cache.ts";
import type { SimProcess } from "./sim-process.ts";

interface Subscription {
  readonly site: string;
  readonly subject: string;
  readonly process: SimProcess;
  readonly handler: (payload: Uint8Array, subject: string) => void;
  /** Virtual time of the newest delivery: NATS keeps the order of one subject. */
  lastAt: number;
}

interface Service {
  readonly site: string;
  readonly process: SimProcess;
  readonly handler: (payload: Uint8Array) => Promise<Uint8Array>;
}

/** The links between the sites, each direction of its own, and the core subjects that travel over them. */
export class Links {
  readonly #parts: SimWorldParts;
  readonly #cut = new Set<string>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #services = new Map<string, Service>();
  readonly #onHeal: Array<() => void> = [];
  /** Probability that a message on a core subject is lost. */
  lossy = 0;

  constructor(parts: SimWorldParts) {
    this.#parts = { ...parts, random: parts.random.fork() };
  }

  /** Calls `fn` whenever a link came back. */
  onHeal(fn: () => void): void {
    this.#onHeal.push(fn);
  }

  isUp(from: string, to: string): boolean {
    return from === to || !this.#cut.has(`${from}>${to}`);
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(from: string, to: string): void {
    this.#cut.delete(`${from}>${to}`);
    for (const fn of this.#onHeal) fn();
  }

  healAll(): void {
    this.#cut.clear();
    this.lossy = 0;
    for (const fn of this.#onHeal) fn();
  }

  /** The bus as one process of `site` reaches it. */
  connect(site: string, process: SimProcess): Bus {
    return {
      publish: (subject, payload) => this.#publish(site, subject, Buffer.from(payload)),
      subscribe: (subject, handler) => {
        const subscription = { site, subject, process, handler, lastAt: 0 };
        this.#subscriptions.add(subscription);
        const end = (): void => void this.#subscriptions.delete(subscription);
        process.atEnd(end);
        return end;
      },
      request: (subject, payload, timeoutMs) =>
        this.#request(site, process, { subject, payload: Buffer.from(payload), timeoutMs }),
      serve: (subject, handler) => {
        const service = { site, process, handler };
        this.#services.set(subject, service);
        const end = (): void => {
          if (this.#services.get(subject) === service) this.#services.delete(subject);
        };
        process.atEnd(end);
        return end;
      },
    };
  }

  #publish(from: string, subject: string, payload: Buffer): void {
    const { random, time } = this.#parts;
    for (const subscription of this.#subscriptions) {
      if (subscription.subject !== subject || !this.#passes(from, subscription.site)) continue;
      const at = Math.max(subscription.lastAt + 0.001, time.now + random.latency(5));
      subscription.lastAt = at;
      subscription.process.later(at - time.now, () => {
        if (this.#subscriptions.has(subscription)) subscription.handler(payload, subject);
      });
    }
  }

  #passes(from: string, to: string): boolean {
    return this.isUp(from, to) && !this.#parts.random.chance(this.lossy);
  }

  #request(
    from: string,
    process: SimProcess,
    question: { subject: string; payload: Buffer; timeoutMs: number },
  ): Promise<Uint8Array> {
    const { random } = this.#parts;
    const { subject, payload, timeoutMs } = question;
    return new Promise((resolve, reject) => {
      const unreachable = new IsthmusError(ErrorCode.PeerUnreachable, `nobody at ${subject}`);
      process.later(timeoutMs, () => reject(unreachable));
      const service = this.#services.get(subject);
      if (service === undefined) {
        process.later(random.latency(5), () => reject(unreachable));
        return;
      }
      if (!this.#passes(from, service.site)) return;
      const answer = (fn: () => void): void => {
        if (this.#passes(service.site, from)) process.later(random.latency(5), fn);
      };
      service.process.later(random.latency(5), () => {
        service.handler(payload).then(
          (bytes) => answer(() => resolve(Buffer.from(bytes))),
          (error: unknown) => {
            const text = error instanceof Error ? error.message : String(error);
            answer(() => reject(new IsthmusError(ErrorCode.PeerRefused, text)));
          },
        );
      });
    });
  }
}
