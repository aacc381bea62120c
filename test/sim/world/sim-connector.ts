import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { CACHE_OPERATION_TIMEOUT_MS } from "../../../topology/limits.ts";
import type {
  CacheConnector,
  CacheEvent,
  CacheInfo,
  CacheListener,
  CacheState,
  ServerRuns,
  WriteOutcome,
} from "../../../topology/ports.ts";
import type { Key } from "../../../topology/version/entry.ts";
import { type Listening, MEDIA_TYPE, type SimCache } from "./sim-cache.ts";
import type { SimProcess } from "./sim-process.ts";

/** What an operation did at the server: its answer, and when every replica has it (virtual ms). */
interface Done<T> {
  readonly answer: T;
  readonly settledAt: number;
}

/** {@link CacheConnector} of one process to one simulated cache. */
export class ConnectedCache implements CacheConnector {
  readonly #cache: SimCache | undefined;
  readonly #servers: { readonly runs: ReadonlyMap<string, string> };
  readonly #name: string;
  readonly #process: SimProcess;

  constructor(
    cache: SimCache | undefined,
    servers: { readonly runs: ReadonlyMap<string, string> },
    name: string,
    process: SimProcess,
  ) {
    this.#cache = cache;
    this.#servers = servers;
    this.#name = name;
    this.#process = process;
  }

  async open(): Promise<CacheInfo> {
    return this.#ask((done) => done({ mediaType: MEDIA_TYPE, runs: new Map(this.#servers.runs) }));
  }

  async runs(): Promise<ServerRuns> {
    return this.#ask((done) => done(new Map(this.#servers.runs)));
  }

  async read(key: Key): Promise<CacheState | undefined> {
    const cache = this.#found();
    return this.#ask((done) => {
      const state = cache.readSome(key);
      done(state === undefined ? undefined : cache.stateOf(state));
    });
  }

  async write(
    key: Key,
    expected: bigint | "missing",
    value: Uint8Array,
    expiry: { lifespanMs: number; maxIdleMs: number },
  ): Promise<WriteOutcome> {
    const cache = this.#found();
    const bytes = Buffer.from(value);
    const put = (): number => cache.put(key, bytes, expiry, "isthmus");
    return this.#ask(
      (done) => {
        cache.arrives(key);
        const before = cache.access(key);
        if (expected === "missing") {
          if (before !== undefined) done("lost");
          else done("done", put());
          return;
        }
        this.#compareAndSet(key, expected, put, done);
      },
      () => cache.unanswered(key, { expected, value: bytes }),
    );
  }

  async remove(key: Key, expected: bigint): Promise<WriteOutcome> {
    const cache = this.#found();
    const remove = (): number => cache.remove(key, "isthmus");
    return this.#ask(
      (done) => {
        cache.arrives(key);
        this.#compareAndSet(key, expected, remove, done);
      },
      () => cache.unanswered(key, { expected, value: undefined }),
    );
  }

  async listen(onEvent: (event: CacheEvent) => void): Promise<CacheListener> {
    const cache = this.#found();
    const process = this.#process;
    let lose!: (reason: string) => void;
    const lost = new Promise<string>((resolve) => {
      lose = resolve;
    });
    const listening: Listening = { process, onEvent, lost: lose, isOpen: true, lastAt: new Map() };
    // Without an answer it closes the listener's connection, which ends one that the server had registered.
    await this.#ask<void>((done) => {
      cache.listen(listening);
      process.atEnd(() => cache.unlisten(listening));
      done(undefined);
    }).catch((error: unknown) => {
      cache.unlisten(listening);
      throw error;
    });
    return {
      lost,
      // Answered behind the events that are under way, on their connection: none of them is lost where the answer is not.
      flushed: async () => {
        await this.#ask<void>((done) => {
          done(undefined, Math.max(0, ...listening.lastAt.values()) + 0.001);
        });
        if (!listening.isOpen) throw unreachable(this.#name);
      },
      close: async () => {
        await this.#ask<void>((done) => {
          cache.unlisten(listening);
          done(undefined);
        }).catch(() => cache.unlisten(listening));
      },
    };
  }

  async *scan(signal: AbortSignal): AsyncGenerator<ReadonlyArray<{ key: Key; state: CacheState }>> {
    const cache = this.#found();
    const run = this.#servers.runs;
    const keys = await this.#ask<Key[]>((done) => done(cache.keys()));
    while (keys.length > 0 && !signal.aborted) {
      const chunk = keys.splice(0, 4);
      yield await this.#ask((done) => {
        if (this.#servers.runs !== run) throw unreachable(this.#name);
        const found: Array<{ key: Key; state: CacheState }> = [];
        for (const key of chunk) {
          const state = cache.access(key);
          if (state !== undefined) found.push({ key, state: cache.stateOf(state) });
        }
        done(found);
      });
    }
  }

  #found(): SimCache {
    if (this.#cache !== undefined) return this.#cache;
    throw new IsthmusError(ErrorCode.CacheMissing, `cache "${this.#name}" does not exist`);
  }

  /** As Infinispan does it: compare the version, then, a moment later, replace the value that was found by its bytes. */
  #compareAndSet(
    key: Key,
    expected: bigint,
    set: () => number,
    done: (answer: WriteOutcome, settledAt?: number) => void,
  ): void {
    const cache = this.#found();
    const found = cache.access(key);
    if (found !== undefined) found.lastUsedAt = cache.wall.now();
    if (found === undefined || found.token !== expected) {
      done("lost");
      return;
    }
    const { time, random, counts } = cache.parts;
    time.after(random.latency(0.2), () => {
      const now = cache.access(key);
      if (now === undefined || !now.value.equals(found.value)) done("lost");
      else {
        if (now.token !== expected) counts.add("rare: equal bytes re-put inside a compare-and-set");
        done("done", set());
      }
    });
  }

  /**
   * One request: `work` runs at the server and answers once. What may go wrong is drawn here; the server works on even if
   * the process that asked has died meanwhile. `onUnanswered`: of a write; it will not be known whether it was done.
   */
  #ask<T>(
    work: (done: (answer: T, settledAt?: number) => void) => void,
    onUnanswered?: () => void,
  ): Promise<T> {
    const isWrite = onUnanswered !== undefined;
    const cache = this.#found();
    const process = this.#process;
    const { time, random, counts, trace } = cache.parts;
    return new Promise((resolve, reject) => {
      const perform = (onDone: (result: Done<T>) => void): void => {
        if (!cache.isUp) {
          process.later(random.latency(1), () => reject(unreachable(this.#name)));
          return;
        }
        try {
          work((answer, settledAt = time.now) => onDone({ answer, settledAt }));
        } catch (error) {
          process.later(random.latency(1), () => reject(error));
        }
      };
      const answered = ({ answer, settledAt }: Done<T>): void => {
        const at = Math.max(0, settledAt - time.now) + random.latency(1);
        process.later(at, () => resolve(answer));
      };
      const arrives = random.latency(1);
      if (random.chance(cache.faults.timeout)) {
        const end = random.pick(isWrite ? ["not done", "done", "done later"] : ["not done"]);
        counts.add(`fault: cache timeout, ${end}`);
        trace(
          `a request to ${this.#name} gets no answer in time${isWrite ? `, a write: ${end}` : ""}`,
        );
        onUnanswered?.();
        const later = CACHE_OPERATION_TIMEOUT_MS + random.latency(200);
        const at = end === "done later" ? later : arrives;
        // See `lateWriteOfTheDead` in profile.ts.
        const late = (): void => {
          if (end !== "done later" || process.alive) perform(() => undefined);
        };
        if (end !== "not done") time.after(at, late);
        process.later(CACHE_OPERATION_TIMEOUT_MS, () =>
          reject(new IsthmusError(ErrorCode.HotRodTimeout, `no answer of ${this.#name}`)),
        );
        return;
      }
      if (random.chance(cache.faults.serverError)) {
        const isDone = random.chance(0.5);
        counts.add(`fault: server error, ${isDone ? "done" : "not done"}`);
        onUnanswered?.();
        const fail = (): void => {
          const failure = new IsthmusError(ErrorCode.HotRodServer, `${this.#name}: 0x85`);
          process.later(random.latency(1), () => reject(failure));
        };
        time.after(arrives, () => (isDone ? perform(fail) : fail()));
        return;
      }
      time.after(arrives, () => perform(answered));
    });
  }
}

const unreachable = (name: string): IsthmusError =>
  new IsthmusError(ErrorCode.CacheUnreachable, `no server of ${name} could be reached`);
