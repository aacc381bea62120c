import { describe, expect, it } from "vitest";
import { CacheStats } from "../../../site-agent/cache-stats.ts";
import { LogHead } from "../../../site-agent/tail/log-head.ts";
import { type PublishedBatch, Publisher } from "../../../site-agent/tail/publisher.ts";
import { BATCH_ROWS_MAX } from "../../../topology/limits.ts";
import { decodeBatch, encodeBatch } from "../../../topology/mutation/batch.ts";
import type { Mutation } from "../../../topology/mutation/mutation.ts";
import { logSubject } from "../../../topology/names.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { type PublishFate, ScriptedLog } from "../../support/scripted-log.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

const SUBJECT = logSubject("nyc", "sessions");
const HEADER = {
  epoch: 1,
  term: 1,
  policyHash: "p",
  mode: "async",
  offsets: new Map(),
  mediaType: "text/plain",
  held: false,
} as const;

const mutation = (n: number): Mutation => ({
  key: `k${n}`,
  kind: "put",
  dot: makeDot(n, 0),
  context: new Map(),
  at: n,
  hash: hashOf(`v${n}`),
  expiresAt: 0,
  maxIdleMs: 0,
  value: Buffer.from(`v${n}`),
});

/** One cache of one site with its log; each run of the process has a publisher of its own. */
class Bench {
  readonly machine: VirtualMachine;
  readonly log = new ScriptedLog();
  readonly published: PublishedBatch[] = [];
  readonly failures: unknown[] = [];
  stats = new CacheStats();
  head!: LogHead;
  publisher!: Publisher;
  #run = 0;
  #stop = new AbortController();
  #n = 0;

  constructor(seed = 1) {
    this.machine = new VirtualMachine(seed);
  }

  async start(): Promise<void> {
    const { machine, log } = this;
    this.#run += 1;
    this.head = new LogHead(machine.ledger, log, machine.random);
    await machine.settle(this.head.check(0));
    const { head } = this;
    this.publisher = new Publisher({
      site: "nyc",
      cache: "sessions",
      rows: this.rows,
      log,
      head,
      stats: this.stats,
      clock: machine.clock,
      random: machine.random,
      processId: `run${this.#run}`,
      header: () => HEADER,
      onFailure: (error) => this.failures.push(error),
      onPublished: (batch) => this.published.push(batch),
      onBroken: async () => {
        await head.check(0);
      },
    });
    this.#stop = new AbortController();
    void this.publisher.run(this.#stop.signal);
  }

  get rows() {
    return this.machine.ledger.cache("sessions");
  }

  /** Queues a mutation as capture does: the publisher is kicked once it is committed. */
  async queue(count = 1): Promise<void> {
    for (let i = 0; i < count; i++) this.rows.enqueue(mutation(++this.#n));
    await this.machine.settle(this.machine.ledger.commit());
    this.publisher.kick();
  }

  async drained(): Promise<void> {
    await this.machine.until(() => this.rows.outboxSize().rows === 0);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.machine.pass(0);
  }

  get batches() {
    const records = this.log.records.filter((record) => record.subject === SUBJECT);
    return records.map(({ payload }) => decodeBatch(payload));
  }

  get keys(): string[] {
    return this.batches.flatMap(({ mutations }) => mutations.map(({ key }) => key));
  }

  get counters(): number[] {
    return this.batches.map(({ header }) => header.counter);
  }
}

async function bench(seed = 1): Promise<Bench> {
  const made = new Bench(seed);
  await made.start();
  return made;
}

describe("the publisher", () => {
  it("sends at once when idle, and what gathered meanwhile as one batch", async () => {
    const nyc = await bench();
    nyc.log.fates = ["slow"];
    await nyc.queue();
    await nyc.machine.until(() => nyc.log.inFlight === 1);
    for (let i = 0; i < 5; i++) await nyc.queue();
    expect(nyc.log.sent).toHaveLength(1);
    nyc.log.answer();
    await nyc.drained();
    expect(nyc.batches.map(({ mutations }) => mutations.length)).toEqual([1, 5]);
    expect(nyc.counters).toEqual([1, 2]);
    expect(nyc.published.map(({ seq, mutations }) => [seq, mutations])).toEqual([
      [1, 1],
      [2, 5],
    ]);
  });

  it("goes on behind a record that is no batch, with the counter of the last that is one", async () => {
    const nyc = await bench();
    await nyc.queue();
    await nyc.drained();
    await nyc.stop();
    for (const stray of ["garbage", "more"]) nyc.log.store(SUBJECT, Buffer.from(stray));
    await nyc.start();
    await nyc.queue();
    await nyc.drained();
    expect(decodeBatch(nyc.log.records.at(-1)?.payload ?? Buffer.alloc(0)).header.counter).toBe(2);
    expect(nyc.failures).toEqual([]);
  });

  it("keeps one batch in flight, of at most its bound of rows, in the order they were queued", async () => {
    const nyc = await bench();
    nyc.log.fates = ["slow", "slow", "slow"];
    await nyc.queue(BATCH_ROWS_MAX + 3);
    let most = 0;
    while (nyc.rows.outboxSize().rows > 0) {
      await nyc.machine.pass(20);
      most = Math.max(most, nyc.log.inFlight);
      nyc.log.answer();
    }
    expect(most).toBe(1);
    expect(nyc.batches.map(({ mutations }) => mutations.length)).toEqual([BATCH_ROWS_MAX, 3]);
    expect(nyc.keys).toEqual(Array.from({ length: BATCH_ROWS_MAX + 3 }, (_, i) => `k${i + 1}`));
  });

  it("resends a batch byte-identical under its message id until it is acknowledged, also when more was queued (I6)", async () => {
    const nyc = await bench();
    nyc.log.fates = ["not stored", "stored, no answer", "not stored"];
    await nyc.queue();
    await nyc.machine.until(() => nyc.log.sent.length > 1);
    await nyc.queue();
    await nyc.drained();
    const [first, ...more] = nyc.log.sent;
    const resent = more.slice(0, 3);
    for (const { payload, msgId } of resent) {
      expect(msgId).toBe(first?.msgId);
      expect(payload.equals(first?.payload ?? Buffer.alloc(0))).toBe(true);
    }
    expect(nyc.log.sent[4]?.msgId).not.toBe(first?.msgId);
    expect(nyc.keys).toEqual(["k1", "k2"]);
    expect([nyc.stats.publishRetries, nyc.failures.length]).toEqual([3, 3]);
  });

  it("lets rows leave the outbox only after the acknowledgement, and rows in a batch be replaced no more", async () => {
    const nyc = await bench();
    nyc.log.fates = ["slow"];
    await nyc.queue(2);
    await nyc.machine.until(() => nyc.log.inFlight === 1);
    await nyc.queue();
    expect([nyc.rows.outboxSize().rows, nyc.publisher.frozenSeq]).toEqual([3, 2]);
    await nyc.machine.pass(60_000);
    expect(nyc.rows.outboxSize().rows).toBe(3);
    nyc.log.answer();
    await nyc.drained();
    expect(nyc.publisher.frozenSeq).toBe(3);
  });

  it("goes on with the counter of the subject's last batch in the log after a restart", async () => {
    const nyc = await bench();
    for (let run = 0; run < 3; run++) {
      await nyc.queue();
      await nyc.drained();
      await nyc.queue();
      await nyc.drained();
      await nyc.machine.settle(nyc.machine.ledger.commit());
      await nyc.stop();
      nyc.machine.restart();
      await nyc.start();
    }
    expect(nyc.counters).toEqual([1, 2, 3, 4, 5, 6]);
    expect(new Set(nyc.log.sent.map(({ msgId }) => msgId)).size).toBe(6);
  });

  it("counts from one in a log of another incarnation, whatever that subject's last batch says", async () => {
    const nyc = await bench();
    const old = { ...HEADER, origin: "nyc", cache: "sessions", incarnation: "other", counter: 41 };
    nyc.log.store(SUBJECT, encodeBatch(old, [mutation(99)]));
    await nyc.queue();
    await nyc.drained();
    expect(nyc.counters).toEqual([41, 1]);
  });

  it.each(["lost its end", "was deleted"])(
    "encodes the batch anew for the new incarnation when the log %s, and loses nothing of it",
    async (damage) => {
      const nyc = await bench();
      await nyc.queue(3);
      await nyc.drained();
      const before = nyc.head.incarnation;
      if (damage === "was deleted") nyc.log.drop();
      else nyc.log.truncate(0);
      await nyc.queue(2);
      await nyc.drained();
      expect(nyc.head.incarnation).not.toBe(before);
      expect(nyc.keys).toEqual(["k4", "k5"]);
      expect(nyc.batches.map(({ header }) => [header.incarnation, header.counter])).toEqual([
        [nyc.head.incarnation, 1],
      ]);
    },
  );

  it("leaves a duplicate, never a hole, wherever a crash or a lost answer falls (I6)", async () => {
    const fates: readonly PublishFate[] = ["not stored", "stored, no answer"];
    for (let seed = 1; seed <= 60; seed++) {
      const nyc = await bench(seed);
      const { random } = nyc.machine;
      let queued = 0;
      for (let run = 0; run < 4; run++) {
        for (let step = random.below(4); step >= 0; step--) {
          if (random.chance(0.6)) nyc.log.fates.push(random.pick(fates));
          const count = 1 + random.below(3);
          await nyc.queue(count);
          queued += count;
          await nyc.machine.pass(random.below(12) / 4);
        }
        nyc.machine.restart();
        await nyc.start();
        nyc.publisher.kick();
      }
      nyc.log.fates = [];
      await nyc.drained();
      const keys = [...new Set(nyc.keys)];
      expect(keys, `seed ${seed}`).toEqual(Array.from({ length: queued }, (_, i) => `k${i + 1}`));
      const { counters } = nyc;
      expect(counters, `seed ${seed}`).toEqual(counters.map((_, i) => i + 1));
    }
  });

  it("says within its time whether the outbox is drained", async () => {
    const nyc = await bench();
    await nyc.queue(3);
    expect(await nyc.machine.settle(nyc.publisher.drained(1_000))).toBe(true);
    nyc.log.fates = ["slow"];
    await nyc.queue();
    const began = nyc.machine.clock.monotonic();
    expect(await nyc.machine.settle(nyc.publisher.drained(1_000))).toBe(false);
    expect(nyc.machine.clock.monotonic() - began).toBeLessThan(1_100);
  });
});
