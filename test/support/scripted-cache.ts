import { createHash } from "node:crypto";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type {
  CacheConnector,
  CacheInfo,
  CacheListener,
  CacheState,
  ServerRuns,
  WriteOutcome,
} from "../../topology/ports.ts";
import type { Key, ValueHash } from "../../topology/version/entry.ts";

/** A hash as the code under test is given it: 32 hex digits of the value. */
export const hashOf = (value: Uint8Array | string): ValueHash =>
  createHash("sha256").update(value).digest("hex").slice(0, 32);

/** What becomes of the next conditional write. */
export type WriteFate =
  /** It is done, but the answer is lost. */
  | "done, no answer"
  /** It is not done, and no answer comes. */
  | "lost, no answer"
  /** The server answers with a fault that has nothing to do with the write's outcome. */
  | "refused";

/** A cache in memory whose tokens rise by one, and which a test can write to, or make fail, between two operations. */
export class ScriptedCache implements CacheConnector {
  readonly entries = new Map<Key, CacheState>();
  /** Conditional operations that were asked for, in order: `put key value`, `remove key`. */
  readonly writes: string[] = [];
  reads = 0;
  /** Called before each conditional operation, which then sees what the test did. */
  beforeWrite: (key: Key) => void = () => undefined;
  /** Taken from the front, one for each conditional operation. */
  fates: WriteFate[] = [];
  #token = 100n;

  /** A client's own write. */
  put(key: Key, value: string, expiry: { expiresAt?: number; maxIdleMs?: number } = {}): bigint {
    this.#token += 1n;
    this.entries.set(key, {
      value: Buffer.from(value),
      token: this.#token,
      createdAt: 0,
      lastUsedAt: 0,
      expiresAt: expiry.expiresAt ?? 0,
      maxIdleMs: expiry.maxIdleMs ?? 0,
    });
    return this.#token;
  }

  /** What the cache holds, as text. */
  text(key: Key): string | undefined {
    return this.entries.get(key)?.value.toString();
  }

  open(): Promise<CacheInfo> {
    return Promise.resolve({ mediaType: "text/plain", runs: new Map() });
  }

  runs(): Promise<ServerRuns> {
    return Promise.resolve(new Map());
  }

  read(key: Key): Promise<CacheState | undefined> {
    this.reads += 1;
    return Promise.resolve(this.entries.get(key));
  }

  write(
    key: Key,
    expected: bigint | "missing",
    value: Uint8Array,
    expiry: { lifespanMs: number; maxIdleMs: number },
  ): Promise<WriteOutcome> {
    const text = Buffer.from(value).toString();
    const { lifespanMs, maxIdleMs } = expiry;
    return this.#conditional(key, expected, `put ${key} ${text}`, () => {
      const expiresAt = lifespanMs === 0 ? 0 : this.now() + lifespanMs;
      this.put(key, text, { expiresAt, maxIdleMs });
    });
  }

  remove(key: Key, expected: bigint): Promise<WriteOutcome> {
    return this.#conditional(key, expected, `remove ${key}`, () => this.entries.delete(key));
  }

  listen(): Promise<CacheListener> {
    return Promise.resolve({
      lost: new Promise<string>(() => undefined),
      flushed: () => Promise.resolve(),
      close: () => Promise.resolve(),
    });
  }

  async *scan(): AsyncGenerator<ReadonlyArray<{ key: Key; state: CacheState }>> {
    for (const [key, state] of this.entries) yield [{ key, state }];
  }

  /** The cache server's clock. */
  now: () => number = () => 0;

  async #conditional(
    key: Key,
    expected: bigint | "missing",
    what: string,
    work: () => void,
  ): Promise<WriteOutcome> {
    this.writes.push(what);
    const fate = this.fates.shift();
    this.beforeWrite(key);
    if (fate === "refused") throw new IsthmusError(ErrorCode.CacheMissing, "no such cache");
    const found = this.entries.get(key)?.token ?? "missing";
    const fits = found === expected;
    if (fits && fate !== "lost, no answer") work();
    if (fate !== undefined) throw new IsthmusError(ErrorCode.HotRodTimeout, "no answer");
    return fits ? "done" : "lost";
  }
}
