import { Applier } from "../../../site-agent/apply/applier.ts";
import { Intents } from "../../../site-agent/apply/intents.ts";
import { UnknownWrites } from "../../../site-agent/apply/unknown-writes.ts";
import { CacheStats } from "../../../site-agent/cache-stats.ts";
import { DotReserve } from "../../../site-agent/dot-reserve.ts";
import { GivenCopies } from "../../../site-agent/given-copies.ts";
import { KeyLocks } from "../../../site-agent/key-locks.ts";
import { LocalChanges, type LocalChangesParts } from "../../../site-agent/local-changes.ts";
import { PastStates } from "../../../site-agent/past-states.ts";
import { DirtyKeys } from "../../../site-agent/tail/dirty-keys.ts";
import type { ConflictPolicy } from "../../../topology/policy/conflict.ts";
import type { ApplyOutcome } from "../../../topology/ports.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import type { Context, Entry, Versions } from "../../../topology/version/entry.ts";
import type { Arrival } from "../../../topology/version/join.ts";
import { hashOf, ScriptedCache } from "../../support/scripted-cache.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";
import { unionMerge } from "../version/sites-model.ts";
import { outboxOf } from "../../support/outbox.ts";

/** A version of another site: `at` is the ms of its dot, and 1 is the oldest. */
export function arrival(
  author: string,
  at: number,
  value: string | undefined,
  more: Partial<Arrival> = {},
): Arrival {
  const kind = value === undefined ? "remove" : "put";
  return {
    author,
    dot: makeDot(at, 0),
    at,
    kind,
    hash: value === undefined ? "" : hashOf(value),
    expiresAt: 0,
    maxIdleMs: 0,
    offsetMs: 0,
    context: new Map(),
    ...(value === undefined ? {} : { value: Buffer.from(value) }),
    ...more,
  };
}

/** One cache of the site `lon` with its applier. */
export class ApplierBench {
  readonly machine = new VirtualMachine();
  readonly cache = new ScriptedCache();
  readonly dirty = new DirtyKeys(100);
  readonly stats = new CacheStats();
  readonly conflicts: Versions[] = [];
  readonly missing: string[] = [];
  readonly unknownWrites: UnknownWrites;
  readonly changes: LocalChanges;
  readonly dots: DotReserve;
  applier: Applier;
  unseenSince: number | undefined;
  givesWay: LocalChangesParts["givesWay"];
  /** Whether the key stays at its site. */
  isLocal = false;

  constructor(policy: ConflictPolicy = "last-writer-wins", invalidate = false) {
    const { machine, cache, stats } = this;
    const { clock, ledger } = machine;
    cache.now = () => clock.now();
    this.unknownWrites = new UnknownWrites(clock);
    this.dots = new DotReserve(ledger, clock, () => true);
    const floor = (): Context => new Map();
    this.changes = new LocalChanges({
      site: "lon",
      cache: "sessions",
      ledger: this.rows,
      floor,
      dots: this.dots.clock,
      stats,
      valueBytesMax: 1_000,
      withoutValues: invalidate,
      frozenSeq: () => 0,
      onVersion: () => undefined,
      onQueued: () => undefined,
      onOversized: () => undefined,
      givesWay: (...found) => this.givesWay?.(...found),
    });
    this.applier = this.#makeApplier(policy, invalidate);
  }

  #makeApplier(policy: ConflictPolicy, invalidate: boolean): Applier {
    const { machine, cache, dirty, stats } = this;
    const { clock, ledger } = machine;
    return new Applier({
      isLocalKey: () => this.isLocal,
      ledger,
      rows: this.rows,
      connector: cache,
      locks: new KeyLocks(),
      dirty,
      changes: this.changes,
      dots: this.dots,
      stats,
      clock,
      hash: hashOf,
      floor: () => new Map(),
      policy,
      merges: unionMerge,
      invalidate,
      asksPeers: false,
      onIdle: () => undefined,
      expirySlackMs: 2_500,
      unknownWrites: this.unknownWrites,
      intents: new Intents(ledger, "sessions"),
      past: new PastStates(clock),
      copies: new GivenCopies(),
      listener: () => 1,
      onConflict: (_key, versions) => this.conflicts.push(versions),
      unseenSince: () => this.unseenSince,
      onMissingValue: (key) => this.missing.push(key),
    });
  }

  /** From now on the site's file names another policy. */
  changePolicy(policy: ConflictPolicy): void {
    this.applier = this.#makeApplier(policy, false);
  }

  get rows() {
    return this.machine.ledger.cache("sessions");
  }

  apply(...arrivals: Arrival[]): Promise<ApplyOutcome> {
    return this.machine.settle(this.applier.apply("k", arrivals));
  }

  /** A write of a client that was captured before the test goes on. */
  async captured(value: string): Promise<Entry> {
    const token = this.cache.put("k", value);
    await this.machine.settle(this.dots.ready());
    const state = this.cache.entries.get("k");
    if (state === undefined) throw new Error("nothing was put");
    const entry = this.changes.put("k", this.row, state, hashOf(value), {
      at: undefined,
      seenBy: 1,
    });
    await this.machine.settle(this.machine.ledger.commit());
    if (entry.held?.token !== token) throw new Error("another token");
    return entry;
  }

  /** An event of the listener that nobody looked at yet. */
  removed(): void {
    this.cache.entries.delete("k");
    const event = { key: "k", token: undefined, hash: undefined, retried: false };
    this.dirty.markEvent({ ...event, cause: "removed" });
  }

  get row(): Entry | undefined {
    return this.rows.get("k");
  }

  get authors(): string[] {
    return (this.row?.siblings ?? []).map(({ author }) => author);
  }

  /** What was published, oldest first: value, or `-` for a remove. */
  get published(): string[] {
    return outboxOf(this.rows, 0, 100, 1_000_000).map(({ record }) => {
      return record.value === undefined ? "-" : Buffer.from(record.value).toString();
    });
  }
}
