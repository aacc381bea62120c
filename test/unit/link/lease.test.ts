// Goal: never two active processes at one time. Method: the real Lease over a store in memory and a clock moved by hand.
import { setMaxListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { Lease } from "../../../gateway/link/lease.ts";
import {
  decideAcquire,
  decideRenew,
  decodeLease,
  encodeLease,
} from "../../../gateway/link/lease-rule.ts";
import type { LeaseRecord, Predecessor } from "../../../gateway/link/lease-rule.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { LEASE_MARGIN_MS } from "../../../topology/limits.ts";
import type { Clock, LeaseStore } from "../../../topology/ports.ts";
import { MemoryLogger } from "../../support/real-time.ts";

const TIMES = { ttlMs: 15_000, renewMs: 3_000 };

/** Time that moves only when everybody sleeps; each sleep is cut into its end. */
class HandClock implements Clock {
  ms = 1_000;
  readonly #timers: Array<{ at: number; fn: () => void }> = [];
  now = () => this.ms;
  monotonic = () => this.ms;
  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.ms + ms, fn };
    this.#timers.push(timer);
    return () => this.#timers.splice(this.#timers.indexOf(timer), 1);
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      this.after(ms, resolve);
      if (signal !== NEVER) signal?.addEventListener("abort", () => resolve());
    });
  }
  async advance(ms: number): Promise<void> {
    const end = this.ms + ms;
    for (;;) {
      for (let i = 0; i < 12; i++) await Promise.resolve();
      this.#timers.sort((a, b) => a.at - b.at);
      const next = this.#timers[0];
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.ms = Math.max(this.ms, next.at);
      next.fn();
    }
    this.ms = end;
  }
}

class MemoryStore implements LeaseStore {
  stored: { value: Uint8Array; revision: number } | undefined;
  away = false;
  /** The next write is stored, but its answer is lost. */
  loseAnswer = false;
  #revision = 0;
  async read() {
    this.#check();
    return this.stored;
  }
  async write(value: Uint8Array, expectedRevision: number) {
    this.#check();
    if ((this.stored?.revision ?? 0) !== expectedRevision) return undefined;
    this.stored = { value, revision: ++this.#revision };
    if (this.loseAnswer) {
      this.loseAnswer = false;
      throw new IsthmusError(ErrorCode.LogTimeout, "no answer");
    }
    return this.#revision;
  }
  #check(): void {
    if (this.away) throw new IsthmusError(ErrorCode.NatsUnreachable, "away");
  }
}

const holder = (holderId: string) => ({ host: `host-${holderId}`, pid: 1, startedAt: 0, holderId });
const NEVER = new AbortController().signal;
setMaxListeners(0, NEVER);
const AWAY = new IsthmusError(ErrorCode.NatsUnreachable, "away");

function world() {
  const clock = new HandClock();
  const store = new MemoryStore();
  const acquire = (id: string, standby = false, predecessor?: Predecessor) =>
    Lease.acquire(
      {
        site: "nyc",
        store,
        clock,
        logger: new MemoryLogger(),
        holder: holder(id),
        standby,
        predecessor,
        times: TIMES,
      },
      NEVER,
    );
  return { clock, store, acquire };
}

/** Runs time until the promise settles. */
async function passing<T>(clock: HandClock, promise: Promise<T>, limitMs = 60_000): Promise<T> {
  const state = { settled: false };
  const mark = () => {
    state.settled = true;
  };
  promise.then(mark, mark);
  for (let ms = 0; ms < limitMs && !state.settled; ms += 100) await clock.advance(100);
  expect(state.settled).toBe(true);
  return promise;
}

describe("the lease", () => {
  it("is taken at once when there is none, and its deadline counts from before the write", async () => {
    const { clock, acquire } = world();
    const lease = await passing(clock, acquire("a"));
    expect(lease.term).toBe(1);
    expect(lease.deadline()).toBe(1_000 + TIMES.ttlMs);
  });

  it("refuses a second process while the first one renews, and names the first", async () => {
    const { clock, acquire } = world();
    const lease = await passing(clock, acquire("a"));
    const running = lease.run(NEVER);
    running.catch(() => undefined);
    const before = clock.ms;
    await expect(passing(clock, acquire("b"))).rejects.toMatchObject({
      code: ErrorCode.LeaseHeld,
      message: expect.stringContaining("host-a, pid 1"),
    });
    expect(clock.ms - before).toBeLessThan(2 * TIMES.renewMs);
  });

  it("of a crashed process is taken only after its deadline, without --standby too", async () => {
    const { clock, acquire } = world();
    const dead = await passing(clock, acquire("a"));
    await clock.advance(5_000);
    const next = await passing(clock, acquire("b"));
    expect(clock.ms).toBeGreaterThanOrEqual(dead.deadline());
    expect(next.term).toBeGreaterThan(dead.term);
  });

  it("of the predecessor on the same ledger is taken once what that had begun is over", async () => {
    const { clock, acquire } = world();
    const dead = await passing(clock, acquire("a"));
    await clock.advance(1_000);
    const overMs = clock.ms + 3_000;
    const next = await passing(
      clock,
      acquire("b", false, { host: "host-a", holderId: "a", overMs }),
    );
    expect(clock.ms).toBeGreaterThanOrEqual(overMs);
    expect(clock.ms).toBeLessThan(overMs + TIMES.renewMs / 2);
    expect(next.term).toBeGreaterThan(dead.term);
    await expect(dead.renew()).rejects.toMatchObject({ code: ErrorCode.LeaseLost });
  });

  it("lets a standby wait for a living holder, and take over after it", async () => {
    const { clock, acquire } = world();
    const lease = await passing(clock, acquire("a"));
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const running = lease.run(stop.signal);
    let taken: Lease | undefined;
    const waiting = acquire("b", true).then((next) => (taken = next));
    await clock.advance(120_000);
    expect(taken).toBeUndefined();
    stop.abort();
    await passing(clock, running);
    expect(lease.deadline()).toBe(Number.NEGATIVE_INFINITY);
    await passing(clock, waiting, TIMES.renewMs);
    expect(taken?.term).toBeGreaterThan(lease.term);
  });

  it("keeps its term over renewals, and over an outage of NATS that nobody used", async () => {
    const { clock, store, acquire } = world();
    const lease = await passing(clock, acquire("a"));
    void lease.run(NEVER);
    await clock.advance(30_000);
    expect(lease.deadline()).toBeGreaterThan(clock.ms + TIMES.ttlMs - TIMES.renewMs - 200);
    store.away = true;
    await clock.advance(60_000);
    expect(lease.deadline()).toBeLessThan(clock.ms);
    store.away = false;
    await clock.advance(2 * TIMES.renewMs);
    expect(lease.deadline()).toBeGreaterThan(clock.ms);
    expect(decodeLease(store.stored?.value ?? new Uint8Array()).term).toBe(lease.term);
  });

  it("survives a renewal whose answer was lost", async () => {
    const { clock, store, acquire } = world();
    const lease = await passing(clock, acquire("a"));
    store.loseAnswer = true;
    await lease.renew();
    // It may not count on what it does not know to be written.
    expect(lease.deadline()).toBe(1_000 + TIMES.ttlMs);
    await clock.advance(1_000);
    await lease.renew();
    await lease.renew();
    expect(lease.deadline()).toBe(clock.ms + TIMES.ttlMs);
  });

  it("is lost, and says to whom, once another process took it", async () => {
    const { clock, store, acquire } = world();
    const lease = await passing(clock, acquire("a"));
    store.away = true;
    await clock.advance(60_000);
    store.away = false;
    await passing(clock, acquire("b"));
    await expect(lease.renew()).rejects.toMatchObject({
      code: ErrorCode.LeaseLost,
      message: expect.stringContaining("host-b"),
    });
    expect(lease.deadline()).toBe(Number.NEGATIVE_INFINITY);
  });

  it("never has two deadlines in the future, whoever is cut off, comes back or loses answers", async () => {
    let holders = 0;
    for (let seed = 1; seed <= 20; seed++) holders += await troubledMinutes(seed);
    // Without takeovers the sentence above would say nothing.
    expect(holders).toBeGreaterThan(60);
  });
});

/** Three standbys, each cut off from the store now and then, for 10 minutes; returns how many terms there were. */
async function troubledMinutes(seed: number): Promise<number> {
  let state = seed;
  const chance = (oneIn: number): boolean => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor(state / 65_536) % oneIn === 0;
  };
  const clock = new HandClock();
  const store = new MemoryStore();
  const terms = new Set<number>();
  const leases = new Map<string, Lease>();
  const cutOff = new Set<string>();
  const live = async (id: string): Promise<void> => {
    const mine: LeaseStore = {
      read: () => (cutOff.has(id) ? Promise.reject(AWAY) : store.read()),
      write: (value, revision) =>
        cutOff.has(id) ? Promise.reject(AWAY) : store.write(value, revision),
    };
    for (;;) {
      const parts = { site: "nyc", store: mine, clock, logger: new MemoryLogger() };
      const me = { holder: holder(id), standby: true, times: TIMES };
      const lease = await Lease.acquire({ ...parts, ...me }, NEVER);
      leases.set(id, lease);
      terms.add(lease.term);
      await lease.run(NEVER).catch((error: unknown) => {
        if (!(error instanceof IsthmusError) || error.code !== ErrorCode.LeaseLost) throw error;
      });
    }
  };
  for (const id of ["a", "b", "c"]) void live(id);
  for (let ms = 0; ms < 600_000; ms += 100) {
    for (const id of ["a", "b", "c"]) {
      if (!cutOff.has(id) && chance(300)) cutOff.add(id);
      else if (cutOff.has(id) && chance(200)) cutOff.delete(id);
    }
    store.loseAnswer = chance(10);
    await clock.advance(100);
    const active = [...leases.values()].filter((lease) => lease.deadline() > clock.ms);
    if (active.length > 1) expect.unreachable(`two are active: seed ${seed}, ${ms} ms`);
  }
  return terms.size;
}

describe("the rule of acquisition", () => {
  const record: LeaseRecord = { ...holder("a"), term: 0, ttlMs: 10_000, released: false };
  const seen = { record, revision: 4, seenAtMs: 500 };

  it("waits until the seen lease is over, margin included", () => {
    const untilMs = 500 + 10_000 + LEASE_MARGIN_MS;
    expect(decideAcquire(seen, seen, untilMs - 1, false)).toEqual({ kind: "wait", untilMs });
    expect(decideAcquire(seen, seen, untilMs, false)).toEqual({
      kind: "write",
      expectedRevision: 4,
    });
  });

  it("waits a predecessor's operations out, though its last renewal came late", () => {
    const before = { host: "host-a", holderId: "a", overMs: 3_000 };
    const later = { ...seen, revision: 5 };
    const step = (ms: number) => decideAcquire(seen, later, ms, false, before);
    expect(step(2_999)).toEqual({ kind: "wait", untilMs: 3_000 });
    expect(step(3_000)).toEqual({ kind: "write", expectedRevision: 5 });
  });

  it("takes nobody for a predecessor on another host, or with another id", () => {
    const untilMs = 500 + 10_000 + LEASE_MARGIN_MS;
    for (const [host, holderId] of [
      ["host-b", "a"],
      ["host-a", "b"],
    ] as const) {
      const other = { host, holderId, overMs: 3_000 };
      expect(decideAcquire(seen, seen, 3_000, false, other)).toEqual({ kind: "wait", untilMs });
      expect(decideAcquire(seen, { ...seen, revision: 5 }, 3_000, false, other).kind).toBe(
        "refuse",
      );
    }
  });

  it("takes a released lease at once", () => {
    const released = { ...seen, record: { ...record, released: true } };
    expect(decideAcquire(released, released, 501, false).kind).toBe("write");
  });

  it("knows its own lease by the holder's id", () => {
    expect(decideRenew("a", { record, revision: 9 })).toEqual({ kind: "ours", revision: 9 });
    expect(decideRenew("b", { record, revision: 9 })).toEqual({ kind: "lost" });
    expect(decideRenew("a", undefined)).toEqual({ kind: "lost" });
  });

  it("reads back what it wrote, and refuses anything else", () => {
    expect(decodeLease(encodeLease(record))).toEqual(record);
    const invalid = expect.objectContaining({ code: ErrorCode.PeerMessageInvalid });
    for (const bytes of [[], [0xc1], [0x80], [0x05]])
      expect(() => decodeLease(Uint8Array.from(bytes))).toThrow(invalid);
  });
});
