import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, systemRandom } from "../../deploy/site/system.ts";
import { CacheAgent } from "../../site-agent/cache-agent.ts";
import { DotReserve } from "../../site-agent/dot-reserve.ts";
import { LmdbLedger } from "../../site-agent/ledger/lmdb-ledger.ts";
import { LogHead } from "../../site-agent/tail/log-head.ts";
import { BUFFER_POOL_BYTES } from "../../topology/limits.ts";
import type {
  CacheConnector,
  CacheEvent,
  CacheInfo,
  CacheListener,
  CacheState,
  LogState,
  PublishAck,
  ServerRuns,
  SiteLog,
} from "../../topology/ports.ts";
import { makeDot } from "../../topology/version/dot.ts";
import type { Key } from "../../topology/version/entry.ts";
import { valueHash } from "../../topology/version/value-hash.ts";
import { MemoryLogger } from "../support/real-time.ts";
import { median } from "./machine.ts";
import type { Bench } from "./run.ts";

const MEDIA_TYPE = "application/x-protostream";
const KEYS = 100_000;
const VALUE_BYTES = 300;
/** Keys in work at a time, as a busy link has them. */
const OPEN_MAX = 300;

/**
 * What the code of one site costs for a mutation, with everything real but the cache and the log, which answer at once: CPU
 * time of this process, collector included. Says what a change of the code is worth where the whole path is too noisy.
 */
export const agent: Bench = async ({ quick, only, say }) => {
  Buffer.poolSize = BUFFER_POOL_BYTES;
  const mutations = quick ? 20_000 : 60_000;
  const figures: Record<string, number> = {};
  for (const [part, run] of Object.entries({ capture, apply })) {
    if (only !== undefined && !only.split(",").includes(part)) continue;
    await using site = await OneAgent.start();
    const cpuUs: number[] = [];
    for (let round = 0; round < (quick ? 3 : 6); round++) {
      const before = process.cpuUsage();
      await run(site, round * mutations, mutations);
      const { user, system } = process.cpuUsage(before);
      // The first round warms up.
      if (round > 0) cpuUs.push((user + system) / mutations);
    }
    figures[part] = median(cpuUs);
    const all = cpuUs.map((us) => us.toFixed(0)).join(", ");
    say(`${part}: ${median(cpuUs).toFixed(1)} us of CPU a mutation (median of ${all})`);
  }
  return { bench: "agent", keys: KEYS, valueBytes: VALUE_BYTES, cpuUs: figures };
};

/** A client writes: events come, keys are read, versions go to the log. */
async function capture(site: OneAgent, from: number, count: number): Promise<void> {
  const { cache, agent: one } = site;
  const until = site.published + one.stats.conflated + count;
  for (let i = from; i < from + count; i++) {
    cache.put(keyOf(i), valueOf(i));
    if (i % 48 === 47) await turn();
    while (one.dirty > OPEN_MAX) await turn();
  }
  while (site.published + one.stats.conflated < until) await systemClock.sleep(1);
}

/** Versions arrive from another site: they are joined, written by compare-and-set, and their echoes known. */
async function apply(site: OneAgent, from: number, count: number): Promise<void> {
  const { agent: one } = site;
  const open = { count: 0 };
  for (let i = from; i < from + count; i++) {
    const key = keyOf(i);
    const value = valueOf(i);
    const at = 1_700_000_000_000 + i;
    const arrival = {
      author: "nyc",
      dot: makeDot(at, 0),
      at,
      kind: "put" as const,
      hash: valueHash(MEDIA_TYPE, value),
      expiresAt: 0,
      maxIdleMs: 0,
      offsetMs: 0,
      context: new Map(),
      value,
    };
    open.count += 1;
    void one.apply(key, [arrival]).then(() => (open.count -= 1));
    if (i % 48 === 47) await turn();
    while (open.count > OPEN_MAX) await turn();
  }
  while (open.count > 0 || one.dirty > 0) await systemClock.sleep(1);
}

const keyOf = (i: number): Key => `session-${(i * 2_654_435_761) % KEYS}`.padStart(28, "k");

function valueOf(i: number): Buffer {
  const value = Buffer.alloc(VALUE_BYTES, 7);
  value.writeUInt32LE(i);
  return value;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One cache's agent on a real ledger. */
class OneAgent implements AsyncDisposable {
  readonly cache: InstantCache;
  readonly agent: CacheAgent;
  published = 0;
  readonly #ledger: LmdbLedger;
  readonly #folder: string;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  static async start(): Promise<OneAgent> {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-bench-"));
    const afterTurn = (commit: () => void) => setImmediate(commit);
    const ledger = await LmdbLedger.open(folder, "lon", process.pid, { afterTurn });
    const log = new InstantLog();
    const head = new LogHead(ledger, log, systemRandom);
    await head.check(0);
    const site = new OneAgent(folder, ledger, log, head);
    while (!site.agent.isReady) await systemClock.sleep(5);
    return site;
  }

  private constructor(folder: string, ledger: LmdbLedger, log: SiteLog, head: LogHead) {
    this.#folder = folder;
    this.#ledger = ledger;
    this.cache = new InstantCache();
    this.agent = new CacheAgent({
      isLocalKey: () => false,
      site: "lon",
      cache: "bench",
      policy: {
        cache: "bench",
        mode: "async",
        timeoutMs: 0,
        onTimeout: "degrade",
        conflict: "last-writer-wins",
        to: undefined,
        rename: new Map(),
        evicts: false,
        singleUse: undefined,
        localKeys: [],
        reason: "the bench",
      },
      merges: new Map(),
      connector: this.cache,
      ledger,
      log,
      head,
      dots: new DotReserve(ledger, systemClock, () => true),
      clock: systemClock,
      random: systemRandom,
      logger: new MemoryLogger(),
      processId: "bench",
      valueBytesMax: 1024 * 1024,
      maxClockSkewMs: 500,
      header: () => ({ epoch: 1, term: 1, offsets: new Map() }),
      policyHash: "",
      onPublished: ({ mutations }) => (this.published += mutations),
      onLogBroken: async (error) => {
        throw error;
      },
      onConflict: () => undefined,
      onUnsendable: () => undefined,
      onAbsentKeys: () => undefined,
      onIdleKey: undefined,
      onGivenWay: () => undefined,
    });
    this.#running = this.agent.run(this.#stopping.signal, () => Promise.resolve());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#ledger.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A cache that answers at once, and reports what is written as Infinispan does. */
class InstantCache implements CacheConnector {
  readonly #entries = new Map<Key, CacheState>();
  #lastToken = 0n;
  #onEvent: (event: CacheEvent) => void = () => undefined;

  /** A client's write. */
  put(key: Key, value: Buffer): void {
    const cause = this.#entries.has(key) ? "modified" : "created";
    const token = ++this.#lastToken;
    const state = { value, token, createdAt: 0, lastUsedAt: 0, expiresAt: 0, maxIdleMs: 0 };
    this.#entries.set(key, state);
    this.#onEvent({ key, cause, token, hash: valueHash(MEDIA_TYPE, value), retried: false });
  }

  open(): Promise<CacheInfo> {
    return Promise.resolve({ mediaType: MEDIA_TYPE, runs: new Map([["cache", "1"]]) });
  }

  runs(): Promise<ServerRuns> {
    return Promise.resolve(new Map([["cache", "1"]]));
  }

  read(key: Key): Promise<CacheState | undefined> {
    return Promise.resolve(this.#entries.get(key));
  }

  write(key: Key, _expected: bigint | "missing", value: Uint8Array): Promise<"done"> {
    this.put(key, Buffer.from(value));
    return Promise.resolve("done");
  }

  remove(): Promise<never> {
    return Promise.reject(new Error("the bench removes nothing"));
  }

  listen(onEvent: (event: CacheEvent) => void): Promise<CacheListener> {
    this.#onEvent = onEvent;
    return Promise.resolve({
      lost: new Promise<never>(() => undefined),
      flushed: () => Promise.resolve(),
      close: () => Promise.resolve(),
    });
  }

  async *scan(): AsyncGenerator<never> {
    // It is empty when the bench starts.
  }
}

/** A log that stores at once, and nothing. */
class InstantLog implements SiteLog {
  #lastSeq = 0;

  state(): Promise<LogState> {
    return Promise.resolve({
      firstSeq: 1,
      lastSeq: this.#lastSeq,
      created: "at the start",
      messages: this.#lastSeq,
      bytes: 0,
    });
  }

  async publish(): Promise<PublishAck> {
    await turn();
    return { seq: ++this.#lastSeq, duplicate: false };
  }

  beginTerm(): Promise<PublishAck> {
    return this.publish();
  }

  last(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  recreate(): Promise<LogState> {
    return this.state();
  }

  window(): Promise<readonly never[]> {
    return Promise.resolve([]);
  }
}
