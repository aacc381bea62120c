import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LmdbLedger } from "../../../site-agent/ledger/lmdb-ledger.ts";
import { Gate } from "../../support/gate.ts";
import { entry, mutation } from "../../support/ledger-rows.ts";
import { outboxOf } from "../../support/outbox.ts";

// Goal: whatever layer a row is in, all reads say what plain maps say, and a crash takes what was not committed and nothing
// else. Method: random runs of changes, commits, checkpoints, restarts and crashes beside a model; a gate holds LMDB's
// transactions; a crash is a copy of the files as they are.

const CACHES = ["a", "b"];
const KEYS = ["", "\x00", "k", "k\x00", "l", "\xff", `long${"k".repeat(2000)}`];
/** Keys in page order: the one that is kept under its hash is last. */
const FACTS = ["p", "p/1", "p/2", "p/\u00e4", "q"];

interface CacheModel {
  entries: Map<string, number>;
  /** Sequence to the mutation's number. */
  outbox: Map<number, number>;
  lastSeq: number;
}
interface Model {
  caches: CacheModel[];
  facts: Map<string, number>;
}

const op = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant("put" as const), cache: fc.nat(1), key: fc.nat(6) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant("delete" as const), cache: fc.nat(1), key: fc.nat(6) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("enqueue" as const),
      cache: fc.nat(1),
      back: fc.nat(4),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("acknowledge" as const),
      cache: fc.nat(1),
      back: fc.nat(4),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant("fact" as const), fact: fc.nat(4), goes: fc.boolean() }),
  },
  { weight: 5, arbitrary: fc.record({ op: fc.constant("commit" as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("checkpoint" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("restart" as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("crash" as const) }) },
);
type Op = typeof op extends fc.Arbitrary<infer T> ? T : never;
type Step<K extends Op["op"]> = Extract<Op, { op: K }>;

/** A ledger beside its model: as staged, and as committed. */
class Pair {
  readonly #folder: string;
  #opened = 0;
  #directory = "";
  #ledger: LmdbLedger | undefined;
  #gate = new Gate();
  #live: Model = {
    caches: CACHES.map(() => ({ entries: new Map(), outbox: new Map(), lastSeq: 0 })),
    facts: new Map(),
  };
  #committed = structuredClone(this.#live);
  #n = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get ledger(): LmdbLedger {
    if (this.#ledger === undefined) throw new Error("the ledger is not open");
    return this.#ledger;
  }

  async open(directory: string): Promise<void> {
    this.#directory = directory;
    this.#gate = new Gate();
    this.#ledger = await LmdbLedger.open(directory, "nyc", process.pid, {
      beforeCheckpoint: this.#gate.pass,
      // Between two steps no turn of the event loop ends: only `commit` commits.
      afterTurn: setImmediate,
      checkpointBytes: 1,
      segmentBytes: 2000,
    });
    for (const name of CACHES) this.#ledger.cache(name);
  }

  async openNew(): Promise<void> {
    await this.open(join(this.#folder, String(this.#opened++)));
  }

  async close(): Promise<void> {
    this.#gate.open();
    await this.ledger.close();
  }

  /** Commits, so that a checkpoint is held at the gate and LMDB is idle. */
  async commit(): Promise<void> {
    await this.ledger.commit();
    this.#committed = structuredClone(this.#live);
  }

  async step(step: Op): Promise<void> {
    if (step.op === "put") this.#put(step);
    else if (step.op === "delete") this.#delete(step);
    else if (step.op === "enqueue") this.#enqueue(step);
    else if (step.op === "acknowledge") this.#acknowledge(step);
    else if (step.op === "fact") this.#fact(step);
    else if (step.op === "commit") await this.commit();
    else if (step.op === "checkpoint") await this.#checkpoint();
    else if (step.op === "restart") await this.#restart();
    else await this.#crash();
  }

  #put({ cache, key }: Step<"put">): void {
    const n = ++this.#n;
    this.ledger.cache(CACHES[cache] ?? "").put(KEYS[key] ?? "", entry(n));
    this.#of(cache).entries.set(KEYS[key] ?? "", n);
  }

  #delete({ cache, key }: Step<"delete">): void {
    this.ledger.cache(CACHES[cache] ?? "").delete(KEYS[key] ?? "");
    this.#of(cache).entries.delete(KEYS[key] ?? "");
  }

  #enqueue({ cache, back }: Step<"enqueue">): void {
    const model = this.#of(cache);
    const n = ++this.#n;
    const replaces = back === 0 ? undefined : Math.max(0, model.lastSeq + 1 - back);
    const seq = this.ledger.cache(CACHES[cache] ?? "").enqueue(mutation(n), replaces);
    expect(seq).toBe(++model.lastSeq);
    if (replaces !== undefined) model.outbox.delete(replaces);
    model.outbox.set(seq, n);
  }

  #acknowledge({ cache, back }: Step<"acknowledge">): void {
    const model = this.#of(cache);
    const seq = Math.max(0, model.lastSeq - back);
    this.ledger.cache(CACHES[cache] ?? "").acknowledge(seq);
    for (const one of model.outbox.keys()) if (one <= seq) model.outbox.delete(one);
  }

  #fact({ fact, goes }: Step<"fact">): void {
    const name = FACTS[fact] ?? "";
    const n = ++this.#n;
    this.ledger.setFact(name, goes ? undefined : n);
    if (goes) this.#live.facts.delete(name);
    else this.#live.facts.set(name, n);
  }

  /** Lets LMDB's transaction run, reads all the while, and waits for its end. */
  async #checkpoint(): Promise<void> {
    if (!this.#gate.isHolding) return;
    // Something more that waits, so that the next arrival at the gate tells the end of this one.
    const next = this.#gate.arrivals + 1;
    this.#gate.letOne();
    await Promise.resolve();
    this.#fact({ op: "fact", fact: 0, goes: false });
    await this.commit();
    while (this.#gate.arrivals < next) {
      this.check();
      await turn();
    }
  }

  async #restart(): Promise<void> {
    await this.close();
    this.#committed = structuredClone(this.#live);
    await this.open(this.#directory);
  }

  /** LMDB is idle: its transactions run within `checkpoint` alone. */
  async #crash(): Promise<void> {
    const [killed, from] = [this.ledger, this.#directory];
    const to = join(this.#folder, String(this.#opened++));
    mkdirSync(to);
    for (const name of readdirSync(from)) {
      if (/^journal|^data/.test(name)) copyFileSync(join(from, name), join(to, name));
    }
    this.#gate.open();
    await killed.close();
    await this.open(to);
    this.#live = structuredClone(this.#committed);
  }

  #of(cache: number): CacheModel {
    const model = this.#live.caches[cache];
    if (model === undefined) throw new Error(`no cache ${cache}`);
    return model;
  }

  /** Compares all reads with the model. */
  check(): void {
    for (const i of CACHES.keys()) this.#checkCache(i);
    const facts = [...this.#live.facts].sort(([a], [b]) => FACTS.indexOf(a) - FACTS.indexOf(b));
    expect([...this.ledger.facts("")]).toEqual(facts);
    expect([...this.ledger.facts("p/")]).toEqual(facts.filter(([name]) => name.startsWith("p/")));
    expect(FACTS.map((name) => this.ledger.fact(name))).toEqual(
      FACTS.map((name) => this.#live.facts.get(name)),
    );
  }

  #checkCache(i: number): void {
    const cache = this.ledger.cache(CACHES[i] ?? "");
    const live = this.#of(i);
    const committed = this.#committed.caches[i] ?? live;
    expect(KEYS.map((key) => cache.get(key)?.outboxSeq)).toEqual(
      KEYS.map((key) => live.entries.get(key)),
    );
    const seen: Array<[string, number]> = [];
    for (let page = cache.page(undefined, 2); page.length > 0;) {
      seen.push(...page.map(([key, { outboxSeq }]) => [key, outboxSeq] as [string, number]));
      page = cache.page(seen.at(-1)?.[0], 2);
    }
    const shown = KEYS.filter((key) => committed.entries.has(key) && live.entries.has(key));
    expect(seen).toEqual(shown.map((key) => [key, live.entries.get(key)]));
    const rows = [...committed.outbox].filter(([seq]) => live.outbox.has(seq));
    expect(outboxOf(cache, 0, 1e6, 1e9).map(({ seq, record }) => [seq, record.at - 1000])).toEqual(
      rows,
    );
    const middle = rows[Math.floor(rows.length / 2)]?.[0] ?? 0;
    const beyond = rows.filter(([seq]) => seq > middle).slice(0, 2);
    expect(outboxOf(cache, middle, 2, 1e9).map(({ seq }) => seq)).toEqual(
      beyond.map(([seq]) => seq),
    );
    const [oldest] = live.outbox.values();
    expect(cache.outboxSize()).toMatchObject({
      rows: live.outbox.size,
      oldestAtMs: oldest === undefined ? undefined : oldest + 1000,
    });
  }
}

describe("a ledger in layers", () => {
  it("reads as plain maps do, over commits, checkpoints, restarts and crashes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 40 }), async (steps) => {
        const folder = mkdtempSync(join(tmpdir(), "isthmus-model-"));
        const pair = new Pair(folder);
        await pair.openNew();
        try {
          for (const step of steps) {
            await pair.step(step);
            pair.check();
          }
        } finally {
          await pair.close();
          rmSync(folder, { recursive: true });
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
