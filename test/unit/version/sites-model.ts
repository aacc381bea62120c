import { createHash } from "node:crypto";
import { EMPTY_CONTEXT } from "../../../topology/version/context.ts";
import { dotMs, makeDot } from "../../../topology/version/dot.ts";
import type { Context, Dot, Sibling, Versions } from "../../../topology/version/entry.ts";
import {
  type Arrival,
  joinVersion,
  localWrite,
  mergeVersions,
  seen,
} from "../../../topology/version/join.ts";
import { type MergeRegistry, type Shown, shown } from "../../../topology/version/show.ts";
import {
  beginRound,
  dropsInRound,
  floorAfterRound,
  roundIsOver,
  type TombstoneRound,
} from "../../../topology/version/tombstone.ts";
import type { ConflictPolicy } from "../../../topology/policy/conflict.ts";

/** Union of the letters in the values. */
export const unionMerge: MergeRegistry = new Map([
  [
    "union",
    (values) => ({
      value: Buffer.from(
        [...new Set(values.flatMap(({ value }) => Array.from(Buffer.from(value).toString())))]
          .sort()
          .join(""),
      ),
      expiry: { expiresAt: Math.max(...values.map((v) => v.expiry.expiresAt)), maxIdleMs: 0 },
    }),
  ],
]);

export const POLICIES: readonly ConflictPolicy[] = [
  "last-writer-wins",
  "first-writer-wins",
  "prefer-put",
  "prefer-remove",
  { preferSite: ["c", "a"] },
  { merge: "union" },
];

export const SITES = ["a", "b", "c", "d", "e"];

/** A small seeded generator (mulberry32): schedules replay from their seed. */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** What shows, as text: a value, or "-" for none. */
export const showsText = (
  siblings: readonly Sibling[] | undefined,
  policy: ConflictPolicy,
): string => textOf(shown(siblings ?? [], policy, unionMerge));

const textOf = (what: Shown): string =>
  what === undefined || what.kind === "remove" || what.value === undefined
    ? "-"
    : Buffer.from(what.value).toString();

interface Site {
  readonly name: string;
  readonly skewMs: number;
  readonly entries: Map<string, Versions>;
  floor: Context;
  lastDot: Dot;
  readonly log: Array<Arrival & { key: string }>;
  /** Origin -> the log records applied, by index. */
  readonly done: Map<string, Set<number>>;
  round: TombstoneRound | undefined;
  /** The oracle's own books: key -> ids of all writes that this site's state depends on. */
  readonly saw: Map<string, Set<string>>;
}

export interface ModelOptions {
  readonly policy: ConflictPolicy;
  readonly sites: number;
  readonly seed: number;
  readonly steps: number;
  readonly resync: boolean;
  readonly drops: boolean;
  /** Whether dropping a tombstone raises the floor; false shows that it is needed. */
  readonly floor: boolean;
  readonly skewMs: number;
}

/**
 * Two keys at some sites, under random writes, deliveries in any order with repeats, resyncs and tombstone rounds. Beside
 * the real functions it keeps plain sets of who had seen which write: from them follows, without contexts or joins, which
 * writes no other supersedes.
 */
export class SitesModel {
  readonly #options: ModelOptions;
  readonly #random: (below: number) => number;
  readonly #sites: Site[];
  readonly #writes = new Map<string, { key: string; sibling: Sibling; saw: Set<string> }>();
  #now = 1000;
  dropped = 0;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#random = seeded(options.seed);
    this.#sites = SITES.slice(0, options.sites).map((name) => ({
      name,
      skewMs: this.#random(2 * options.skewMs + 1) - options.skewMs,
      entries: new Map(),
      floor: EMPTY_CONTEXT,
      lastDot: 0n,
      log: [],
      done: new Map(SITES.map((origin) => [origin, new Set()])),
      round: undefined,
      saw: new Map(),
    }));
  }

  /** Runs the schedule, then delivers everything; returns what shows at each site, and by the oracle, per key. */
  run(): Array<{ key: string; sites: string[]; oracle: string; siblings: string[] }> {
    for (let step = 0; step < this.#options.steps; step++) this.#step();
    for (const target of this.#sites) {
      for (const origin of this.#sites) {
        for (const index of this.#shuffled(origin.log.length)) {
          const repeat = target.done.get(origin.name)?.has(index);
          if (!repeat || this.#random(8) === 0) this.#deliver(target, origin, index);
        }
      }
    }
    return ["k1", "k2"].map((key) => ({
      key,
      sites: this.#sites.map((s) => this.#shows(s, key)),
      oracle: showsText(this.#unsuperseded(key), this.#options.policy),
      siblings: this.#sites.map((s) => ids(s.entries.get(key)?.siblings ?? [])),
    }));
  }

  /** Ids of the writes of `key` that no write's author had seen when it wrote. */
  oracleSiblings = (key: string): string => ids(this.#unsuperseded(key));

  #step(): void {
    this.#now += 1;
    const site = this.#pick(this.#sites);
    const key = this.#pick(["k1", "k2"]);
    const x = this.#random(100);
    if (x < 15) this.#write(site, key);
    else if (x < 70) {
      // About as many deliveries as writes cause, so that positions keep close enough for rounds to end.
      for (let n = this.#random(2 * this.#sites.length); n > 0; n--) this.#deliverSome();
    } else if (x < 75) {
      if (this.#options.resync) this.#resync(site, this.#pick(this.#sites), key);
    } else if (this.#options.drops) this.#tombstones(site);
  }

  #deliverSome(): void {
    const [target, origin] = [this.#pick(this.#sites), this.#pick(this.#sites)];
    if (origin.log.length > 0) this.#deliver(target, origin, this.#nextIndex(target, origin));
  }

  #write(site: Site, key: string): void {
    const kind = this.#random(2) === 0 ? "put" : "remove";
    if (kind === "remove" && this.#shows(site, key) === "-") return;
    const wall = makeDot(this.#now + site.skewMs, 0);
    const dot = wall > site.lastDot ? wall : site.lastDot + 1n;
    site.lastDot = dot;
    const text = kind === "put" ? "abcdefghij"[this.#random(10)] + site.name.toUpperCase() : "";
    const at = dotMs(dot) - (this.#random(4) === 0 ? this.#random(20) : 0);
    const hash = text && createHash("md5").update(text).digest("hex");
    const entry = site.entries.get(key);
    const context = seen(entry, site.floor);
    const written = localWrite(entry, site.floor, {
      site: site.name,
      dot,
      at,
      kind,
      hash,
      expiresAt: 0,
      maxIdleMs: 0,
    });
    const [bare] = written.siblings;
    if (!bare) throw new Error("a local write makes one sibling");
    const sibling: Sibling = kind === "put" ? { ...bare, value: Buffer.from(text) } : bare;
    site.entries.set(key, { ...written, siblings: [sibling] });
    site.done.get(site.name)?.add(site.log.length);
    site.log.push({ ...sibling, context, key });
    const saw = this.#saw(site, key);
    this.#writes.set(id(sibling), { key, sibling, saw: new Set(saw) });
    saw.add(id(sibling));
  }

  #deliver(target: Site, origin: Site, index: number): void {
    const record = origin.log[index];
    if (!record) throw new Error("no such record");
    const { key, ...arrival } = record;
    const { versions, changed } = joinVersion(target.entries.get(key), target.floor, arrival);
    if (changed && versions) target.entries.set(key, versions);
    target.done.get(origin.name)?.add(index);
    const saw = this.#saw(target, key);
    saw.add(id(arrival));
    for (const earlier of this.#writes.get(id(arrival))?.saw ?? []) saw.add(earlier);
  }

  #resync(a: Site, b: Site, key: string): void {
    const [x, y] = [a.entries.get(key), b.entries.get(key)];
    if (a === b || (x === undefined && y === undefined)) return;
    const forA = mergeVersions(x, a.floor, y, b.floor);
    const forB = mergeVersions(y, b.floor, x, a.floor);
    for (const [site, { versions, floor }] of [[a, forA] as const, [b, forB] as const]) {
      if (versions) site.entries.set(key, versions);
      else site.entries.delete(key);
      if (this.#options.floor) site.floor = floor;
    }
    const all = new Set([...this.#saw(a, key), ...this.#saw(b, key)]);
    a.saw.set(key, new Set(all));
    b.saw.set(key, new Set(all));
  }

  #tombstones(site: Site): void {
    const announced = {
      sites: this.#sites.map((s) => s.name),
      applied: new Map(this.#sites.map((s) => [s.name, this.#applied(s)])),
      ends: new Map(this.#sites.map((s) => [s.name, s.log.at(-1)?.dot ?? 0n])),
    };
    if (site.round && roundIsOver(site.round, announced)) {
      for (const [key, { siblings }] of site.entries) {
        const shows = shown(siblings, this.#options.policy, unionMerge);
        if (textOf(shows) !== "-" || !dropsInRound(site.round, siblings, shows, this.#now))
          continue;
        site.entries.delete(key);
        this.dropped += 1;
      }
      if (this.#options.floor) site.floor = floorAfterRound(site.floor, site.round);
      site.round = undefined;
    } else site.round ??= beginRound(announced);
  }

  /** Origin -> the last dot of the contiguous prefix of its log that `site` applied. */
  #applied(site: Site): Context {
    return new Map(
      this.#sites.map((origin) => {
        let index = 0;
        while (site.done.get(origin.name)?.has(index)) index++;
        return [origin.name, origin.log[index - 1]?.dot ?? 0n];
      }),
    );
  }

  #unsuperseded(key: string): Sibling[] {
    const own = [...this.#writes.values()].filter((w) => w.key === key);
    return own.filter((w) => !own.some((o) => o.saw.has(id(w.sibling)))).map((w) => w.sibling);
  }

  /** Mostly the first record not applied yet, at times any: out of order, or a repeat. */
  #nextIndex(site: Site, origin: Site): number {
    if (this.#random(5) === 0) return this.#random(origin.log.length);
    let index = 0;
    while (site.done.get(origin.name)?.has(index)) index++;
    return Math.min(index, origin.log.length - 1);
  }

  #saw(site: Site, key: string): Set<string> {
    const saw = site.saw.get(key) ?? new Set<string>();
    site.saw.set(key, saw);
    return saw;
  }

  #shows = (site: Site, key: string): string =>
    showsText(site.entries.get(key)?.siblings, this.#options.policy);

  #pick<T>(from: readonly T[]): T {
    const one = from[this.#random(from.length)];
    if (one === undefined) throw new Error("nothing to pick from");
    return one;
  }

  #shuffled(length: number): number[] {
    const order = Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = this.#random(i + 1);
      [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
    }
    return order;
  }
}

const id = (s: Pick<Sibling, "author" | "dot">): string => `${s.author}:${s.dot}`;
const ids = (siblings: readonly Sibling[]): string => siblings.map(id).sort().join(" ");
