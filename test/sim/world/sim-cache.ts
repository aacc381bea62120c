import type { CacheEvent, CacheState } from "../../../topology/ports.ts";
import type { Key, ValueHash } from "../../../topology/version/entry.ts";
import { valueHash } from "../../../topology/version/value-hash.ts";
import type { Counts } from "./counts.ts";
import type { SimProcess, WallClock } from "./sim-process.ts";
import type { SimRandom } from "./sim-random.ts";
import type { SimTime } from "./sim-time.ts";

export const MEDIA_TYPE = "application/x-protostream";

/** One entry as the server holds it; times in the server's wall clock. */
export interface Stored {
  readonly value: Buffer;
  readonly token: bigint;
  readonly createdAt: number;
  /** 0: never. */
  readonly lifespanMs: number;
  /** 0: never. */
  readonly maxIdleMs: number;
  /** When it was read or written last; an iteration is no use. */
  lastUsedAt: number;
}

/** Who changed a key. */
export type By = "client" | "isthmus" | "expiry";

/** A change of one key, as it happened at the server. */
export interface Change {
  readonly key: Key;
  readonly before: Stored | undefined;
  readonly after: Stored | undefined;
  readonly by: By;
}

/** Probabilities of what may go wrong with one operation or event; all 0 in a calm world. */
export interface CacheFaults {
  /** No answer in time; the write was not done, was done, or is done later, in equal parts. */
  timeout: number;
  /** Answered with 0x85 to 0x88; done or not in equal parts. */
  serverError: number;
  /** A read that a replica answers which has not seen the newest write yet. */
  laggingRead: number;
  /** An event that comes twice, the second time `retried`. */
  doubledEvent: number;
  /** A write by other means than Hot Rod: its entry has no token. */
  tokenZero: number;
  /** A client changes a key in the moment before a write of Isthmus comes to it. */
  clientFirst: number;
}

/** The registered listener of one process. */
export interface Listening {
  readonly process: SimProcess;
  readonly onEvent: (event: CacheEvent) => void;
  readonly lost: (reason: string) => void;
  isOpen: boolean;
  /** Virtual time of the newest delivery of each key: events of a key come in order. */
  readonly lastAt: Map<Key, number>;
}

/** A write by Isthmus that got no answer. */
interface Unanswered {
  readonly expected: bigint | "missing";
  /** undefined: a remove. */
  readonly value: Buffer | undefined;
}

export interface SimWorldParts {
  readonly time: SimTime;
  readonly random: SimRandom;
  readonly counts: Counts;
  readonly trace: (line: string) => void;
}

/**
 * One cache of one site's Infinispan: it lives on when the site's process dies. Entry versions are random, conditional
 * writes compare the version and then replace by value, a read may come from a replica that lags, and an event is
 * delivered in the order of its key.
 */
export class SimCache {
  readonly name: string;
  readonly parts: SimWorldParts;
  readonly faults: CacheFaults;
  readonly wall: WallClock;
  readonly #entries = new Map<Key, Stored>();
  /** What a lagging replica still holds of a key, and until when. */
  readonly #behind = new Map<Key, { state: Stored | undefined; until: number }>();
  readonly #listeners = new Set<Listening>();
  /** Writes by Isthmus that got no answer, or none yet. */
  readonly #unanswered = new Map<Key, Unanswered[]>();
  readonly #onChange: (change: Change) => void;
  readonly #onDeaf: () => void;
  readonly #clientFirst: (key: Key) => void;
  isUp = true;

  constructor(
    name: string,
    parts: SimWorldParts,
    options: {
      readonly faults: CacheFaults;
      readonly wall: WallClock;
      readonly onChange: (change: Change) => void;
      /** Events are lost from now on, and those that are under way too. */
      readonly onDeaf: () => void;
      /** Has a client change a key. */
      readonly clientFirst: (key: Key) => void;
    },
  ) {
    this.name = name;
    this.parts = { ...parts, random: parts.random.fork() };
    this.faults = options.faults;
    this.wall = options.wall;
    this.#onChange = options.onChange;
    this.#onDeaf = options.onDeaf;
    this.#clientFirst = options.clientFirst;
    this.#reap();
  }

  /** What a client sees of a key now. */
  peek(key: Key): Stored | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined || this.#isOver(entry) ? undefined : entry;
  }

  /** The keys that are here now, expired ones left out. */
  keys(): Key[] {
    return [...this.#entries.keys()].filter((key) => this.peek(key) !== undefined);
  }

  /** A read by a client. */
  use(key: Key): void {
    const entry = this.access(key);
    if (entry === undefined) return;
    if (entry.maxIdleMs > 0) this.parts.counts.add("rare: entry with a max-idle used by a client");
    entry.lastUsedAt = this.wall.now();
  }

  /** How long an entry has left, ms; Infinity for one that never expires. */
  leftMs({ createdAt, lifespanMs }: Stored): number {
    return lifespanMs === 0 ? Number.POSITIVE_INFINITY : createdAt + lifespanMs - this.wall.now();
  }

  newToken(): bigint {
    return this.parts.random.bytes(8).readBigUInt64BE() | 1n;
  }

  /** Present state, expiring it if it is over: what any access to a key begins with. */
  access(key: Key): Stored | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || !this.#isOver(entry)) return entry;
    if (entry.maxIdleMs > 0) this.parts.counts.add("rare: entry went idle");
    this.#entries.delete(key);
    this.#changed({ key, before: entry, after: undefined, by: "expiry" });
    return undefined;
  }

  /** A read by whichever replica answers. */
  readSome(key: Key): Stored | undefined {
    const state = this.access(key);
    if (state !== undefined) state.lastUsedAt = this.wall.now();
    const behind = this.#behind.get(key);
    const { random, time, counts } = this.parts;
    if (behind === undefined || behind.until <= time.now) return state;
    if (!random.chance(this.faults.laggingRead)) return state;
    if (behind.state !== undefined && this.#isOver(behind.state)) return state;
    counts.add("fault: lagging read");
    return behind.state;
  }

  /** Puts an entry; resolves the time at which every replica has it. */
  put(
    key: Key,
    value: Buffer,
    expiry: { readonly lifespanMs: number; readonly maxIdleMs: number },
    by: By,
    token = this.newToken(),
  ): number {
    const before = this.access(key);
    const { lifespanMs, maxIdleMs } = expiry;
    const now = this.wall.now();
    const entry = { value, token, createdAt: now, lifespanMs, maxIdleMs, lastUsedAt: now };
    this.#entries.set(key, entry);
    return this.#changed({ key, before, after: entry, by });
  }

  /** Removes an entry; the server tells of it even if there was none. */
  remove(key: Key, by: By): number {
    const before = this.access(key);
    this.#entries.delete(key);
    return this.#changed({ key, before, after: undefined, by });
  }

  /** Takes an entry away without an event; true if there was one. */
  evict(key: Key): boolean {
    return this.#entries.delete(key);
  }

  /** A write by Isthmus has come to the server, and is done next. */
  arrives(key: Key): void {
    const { random, counts } = this.parts;
    if (!random.chance(this.faults.clientFirst)) return;
    counts.add("fault: a client came first");
    this.#clientFirst(key);
  }

  /** A write by Isthmus gets no answer that says whether it was done. */
  unanswered(key: Key, write: Unanswered): void {
    this.#unanswered.set(key, [...(this.#unanswered.get(key) ?? []), write]);
  }

  /** Whether nobody can tell a client's change from what a write by Isthmus that got no answer would make. */
  mayBeOurs({ key, before, after }: Change): boolean {
    const writes = this.#unanswered.get(key) ?? [];
    return writes.some(({ expected, value }) =>
      value === undefined
        ? after === undefined && before?.token === expected
        : after?.value.equals(value) === true,
    );
  }

  stateOf({ value, token, createdAt, lifespanMs, maxIdleMs, lastUsedAt }: Stored): CacheState {
    const seconds = Math.max(1, Math.floor(lifespanMs / 1000));
    return {
      value,
      token,
      createdAt: lifespanMs === 0 ? 0 : createdAt,
      expiresAt: lifespanMs === 0 ? 0 : createdAt + seconds * 1000,
      maxIdleMs,
      lastUsedAt: maxIdleMs === 0 ? 0 : lastUsedAt,
    };
  }

  get hasListener(): boolean {
    return this.#listeners.size > 0;
  }

  listen(listening: Listening): void {
    this.#listeners.add(listening);
  }

  unlisten(listening: Listening): void {
    listening.isOpen = false;
    this.#listeners.delete(listening);
  }

  /** The connections of all listeners break: events are lost from now on, noticed later. */
  breakListeners(reason: string): void {
    this.#onDeaf();
    for (const listening of this.#listeners) {
      this.unlisten(listening);
      const noticed = this.parts.random.latency(100);
      listening.process.later(noticed, () => listening.lost(reason));
    }
  }

  stop(): void {
    this.isUp = false;
    this.breakListeners("the server went away");
  }

  /** Starts again, empty, if it is down. */
  startEmpty(): void {
    if (this.isUp) return;
    this.#entries.clear();
    this.#behind.clear();
    this.isUp = true;
  }

  #isOver({ lifespanMs, createdAt, maxIdleMs, lastUsedAt }: Stored): boolean {
    const now = this.wall.now();
    if (lifespanMs > 0 && now >= createdAt + lifespanMs) return true;
    return maxIdleMs > 0 && now >= lastUsedAt + maxIdleMs;
  }

  /** Expires now and then what nobody asks for. */
  #reap(): void {
    const { time, random } = this.parts;
    time.after(random.between(500, 3_000), () => {
      for (const key of this.#entries.keys()) this.access(key);
      this.#reap();
    });
  }

  #changed(change: Change): number {
    const { time, random } = this.parts;
    const { key, before } = change;
    const until = time.now + random.latency(2);
    this.#behind.set(key, { state: before, until });
    this.#onChange(change);
    this.#tell(change);
    return until;
  }

  #tell({ key, before, after, by }: Change): void {
    const { random, counts } = this.parts;
    const cause =
      by === "expiry"
        ? "expired"
        : after === undefined
          ? "removed"
          : before === undefined
            ? "created"
            : "modified";
    // An expired event brings the entry that is gone, a removed one nothing.
    const told = cause === "expired" ? before : after;
    const event: CacheEvent = {
      key,
      cause,
      token: told?.token,
      hash: told === undefined ? undefined : hashOf(told.value),
      retried: false,
    };
    const isDoubled = cause !== "expired" && random.chance(this.faults.doubledEvent);
    for (const listening of this.#listeners) {
      this.#deliver(listening, event);
      if (!isDoubled) continue;
      counts.add("fault: doubled event");
      this.#deliver(listening, { ...event, retried: true });
    }
  }

  #deliver(listening: Listening, event: CacheEvent): void {
    const { time, random } = this.parts;
    const before = listening.lastAt.get(event.key) ?? 0;
    const at = Math.max(before + 0.001, time.now + random.latency(2));
    listening.lastAt.set(event.key, at);
    listening.process.later(at - time.now, () => {
      if (listening.isOpen) listening.onEvent(event);
    });
  }
}

export const hashOf = (value: Uint8Array): ValueHash => valueHash(MEDIA_TYPE, value);
