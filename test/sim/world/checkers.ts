import { APPLY_ITEMS_MAX, DIRTY_KEYS_MAX } from "../../../topology/limits.ts";
import { decodeRecord } from "../../../topology/mutation/batch.ts";
import type { StoredMessage } from "../../../topology/ports.ts";
import type { Context, Entry } from "../../../topology/version/entry.ts";
import { covers, EMPTY_CONTEXT } from "../../../topology/version/context.ts";
import { shown } from "../../../topology/version/show.ts";
import { policyOf } from "../../../topology/policy/cache-policy.ts";
import { entryPrefix, FACT_PREFIX, type LedgerDisk } from "./sim-ledger.ts";
import type { Oracle } from "./oracle.ts";
import type { SimCacheProfile } from "./profile.ts";
import { hashOf, type SimCache } from "./sim-cache.ts";
import { mergesOf } from "./sim-config.ts";
import type { SimSite } from "./sim-site.ts";

/** A promise that a run broke. */
export class Violation extends Error {}

/** One mutation as a log stored it. */
export interface Published {
  readonly site: string;
  readonly cache: string;
  readonly key: string;
  readonly dot: bigint;
  readonly hash: string;
  /** When the log stored it first, virtual ms. */
  readonly at: number;
}

/** What is checked while a world runs: it throws {@link Violation} at the step that breaks a promise. */
export class Checkers {
  readonly #oracles: ReadonlyMap<string, Oracle>;
  readonly #byDot = new Map<string, Published>();
  readonly #perKey = new Map<string, Set<bigint>>();
  /** Records of caches that must not be in any log. */
  readonly #forbidden: ReadonlySet<string>;
  readonly onFailure: (error: Violation) => void;

  constructor(
    oracles: ReadonlyMap<string, Oracle>,
    forbidden: ReadonlySet<string>,
    onFailure: (error: Violation) => void,
  ) {
    this.#oracles = oracles;
    this.#forbidden = forbidden;
    this.onFailure = onFailure;
  }

  get published(): Iterable<Published> {
    return this.#byDot.values();
  }

  /** A log stored a record: one dot is one mutation, and there are no more of them than changes by clients (I4, I9). */
  stored(site: string, record: StoredMessage, at: number): void {
    const batch = decodeRecord(record.payload);
    if (batch.kind !== "batch") return;
    const { cache } = batch.header;
    if (this.#forbidden.has(cache)) this.#fail(`${site} published cache ${cache} (I9)`);
    for (const { key, dot, hash } of batch.mutations) {
      const id = `${site}\0${dot}`;
      const known = this.#byDot.get(id);
      if (known !== undefined && (known.key !== key || known.hash !== hash)) {
        this.#fail(`${site} drew dot ${dot} twice: ${known.key} and ${key}`);
      }
      if (known === undefined) this.#byDot.set(id, { site, cache, key, dot, hash, at });
      const name = `${site}\0${cache}\0${key}`;
      const dots = this.#perKey.get(name) ?? new Set();
      this.#perKey.set(name, dots.add(dot));
      const changes = this.#oracles.get(cache)?.changesOf(site, key) ?? 0;
      if (dots.size > changes) {
        this.#fail(
          `${site} published ${dots.size} versions of ${cache}/${key}, clients made ${changes} changes (I4)`,
        );
      }
    }
  }

  /** A ledger commits: nothing that a key has seen is forgotten, and positions only rise (I6). */
  committed(site: string, changes: ReadonlyMap<string, unknown>, disk: LedgerDisk): void {
    for (const [name, value] of changes) {
      const before = disk.get(name);
      if (before === undefined) continue;
      if (name.startsWith("entry\0")) {
        // A dropped tombstone: the floor covers what its key had seen, which the end of the run checks.
        if (value === undefined) continue;
        const now = (value as Entry).context;
        for (const [author, dot] of (before as Entry).context) {
          if ((now.get(author) ?? 0n) < dot) this.#fail(`${site}: ${name} forgot ${author} ${dot}`);
        }
      } else if (name.startsWith(`${FACT_PREFIX}position/`)) {
        const [was, is] = [before, value] as Array<{ seq: number; incarnation: string }>;
        if (was === undefined || is === undefined || is.seq === 0) continue;
        if (is.incarnation === was.incarnation && is.seq < was.seq) {
          this.#fail(`${site}: ${name} went back from ${was.seq} to ${is.seq}`);
        }
      }
    }
  }

  /** What a process holds in memory is bounded (I12). */
  bounded(sites: readonly SimSite[]): void {
    for (const { site, name } of sites) {
      for (const cache of site?.caches.values() ?? []) {
        if ((cache.agent?.dirty ?? 0) > DIRTY_KEYS_MAX * 2) this.#fail(`${name}: too many marks`);
        for (const receiver of cache.receivers) {
          if (receiver.applied().ranges.length > APPLY_ITEMS_MAX) this.#fail(`${name}: ranges`);
        }
      }
    }
  }

  #fail(message: string): void {
    this.onFailure(new Violation(message));
  }
}

/** How far the ends of one entry may lie apart at two sites whose clocks do not jump, ms. */
export const CALM_TOLERANCE_MS = 1_500;

/** What {@link finalObjection} judges. */
export interface AtRest {
  readonly cache: SimCacheProfile;
  readonly sites: readonly SimSite[];
  readonly oracle: Oracle;
  readonly published: Iterable<Published>;
  readonly toleranceMs: number;
  /** When a client of a site last wrote a key, virtual ms. */
  readonly lastWrite: (site: SimSite, key: string) => LocalWriteSeen | undefined;
}

/** What differs between the sites, or is not as it must be, once nothing moves any more; undefined: all is well (I1, I2, I3). */
export function finalObjection(rest: AtRest): string | undefined {
  const { cache, sites, oracle } = rest;
  const { name, kind } = cache;
  const keys = new Set(oracle.keys());
  for (const site of sites) for (const key of cacheOf(site, name).keys()) keys.add(key);
  for (const key of keys) {
    const why = kind === "invalidate" ? staleCopy(rest, key) : keyObjection(rest, key);
    if (why !== undefined) return `${name}/${key}: ${why}`;
    for (const site of kind === "invalidate" ? [] : sites) {
      const state = cacheOf(site, name).peek(key);
      const siblings = rowOf(site, name, key)?.siblings ?? [];
      const [newest] = [...siblings].sort((a, b) => b.at - a.at);
      const isRemoved = newest?.kind === "remove";
      const slackMs = rest.toleranceMs - CALM_TOLERANCE_MS;
      const lost = newest && oracle.tooOld(key, { at: newest.at, isRemoved }, slackMs);
      if (lost !== undefined) return `${name}/${key} at ${site.name}: ${lost}`;
      // An entry that is missing may be evicted, or have gone idle.
      if (state === undefined && kind !== "plain") continue;
      if (state !== undefined && endsSoon(cacheOf(site, name).leftMs(state), rest)) continue;
      const objection = oracle.objection(key, state?.value);
      if (objection !== undefined) return `${name}/${key} at ${site.name}: ${objection}`;
    }
  }
  for (const { site, cache: of, key, dot } of rest.published) {
    if (of !== name || !sites.some((s) => s.name === site)) continue;
    for (const target of sites) {
      const context = rowOf(target, name, key)?.context ?? floorOf(target, name);
      if ((context.get(site) ?? 0n) < dot) {
        return `${name}/${key}: ${target.name} never joined ${site} ${dot} (I1)`;
      }
    }
  }
  return undefined;
}

/** A write by a client: when, and what its site knew of the key then. */
export interface LocalWriteSeen {
  readonly at: number;
  readonly knew: Context;
}

/** Under `invalidate`: a copy that is older than what another site published since, or that no client of its site wrote. */
function staleCopy(
  { cache, sites, published, lastWrite }: AtRest,
  key: string,
): string | undefined {
  for (const site of sites) {
    const copy = cacheOf(site, cache.name).peek(key);
    if (copy === undefined) continue;
    if (!copy.value.toString().startsWith(`${site.name} `) && copy.value.toString() !== "same") {
      return `${site.name} holds ${copy.value.toString()}, which came from elsewhere`;
    }
    const written = lastWrite(site, key);
    for (const newer of published) {
      if (newer.cache !== cache.name || newer.key !== key || newer.site === site.name) continue;
      // It may have come before it was published: from the peer itself, which was asked for keys without a copy.
      if (written !== undefined && covers(written.knew, newer.site, newer.dot)) continue;
      if (newer.at > (written?.at ?? Number.NEGATIVE_INFINITY)) {
        return `${site.name} holds ${copy.value.toString()}, older than what ${newer.site} published since`;
      }
    }
  }
  return undefined;
}

export const rowOf = (site: SimSite, cache: string, key: string): Entry | undefined =>
  site.disk.get(entryPrefix(cache) + key) as Entry | undefined;

export function floorOf(site: SimSite, cache: string): Context {
  const floor = site.disk.get(`${FACT_PREFIX}floor/${cache}`) as Context | undefined;
  return floor ?? EMPTY_CONTEXT;
}

export function cacheOf(site: SimSite, cache: string): SimCache {
  const found = site.ground.caches.caches.get(cache);
  if (found === undefined) throw new Error(`no cache ${cache}`);
  return found;
}

/** What goes missing within 2.5 s of its expiry counts as expired, and may live on elsewhere for so long. */
const endsSoon = (leftMs: number, { toleranceMs }: Pick<AtRest, "toleranceMs">): boolean =>
  leftMs < toleranceMs + 2_500;

function keyObjection({ cache, sites, toleranceMs }: AtRest, key: string): string | undefined {
  const shows = sites.map((site) => {
    const state = cacheOf(site, cache.name).peek(key);
    const row = rowOf(site, cache.name, key);
    const leftMs = state === undefined ? 0 : cacheOf(site, cache.name).leftMs(state);
    // A row without siblings is a tombstone that a peer had dropped.
    const versions = row?.siblings.map((s) => `${s.author} ${s.dot} ${s.hash}`).join("; ");
    const siblings = versions === "" ? undefined : versions;
    return { site, state, row, leftMs, siblings };
  });
  const [first] = shows;
  for (const other of shows) {
    if (first === undefined) return undefined;
    const text = (s: typeof first): string =>
      `${s.site.name} shows ${s.state?.value.toString() ?? "nothing"} (row ${s.row?.presence ?? "none"}: ${s.siblings ?? "dropped"})`;
    // One site may have dropped its tombstone a moment earlier.
    const isDropped = first.siblings === undefined || other.siblings === undefined;
    if (!isDropped && first.siblings !== other.siblings)
      return `${text(first)}, ${text(other)}: siblings differ`;
    const policy = showsOtherwise(cache.name, other.site, other.row);
    if (policy !== undefined) return `${text(other)}: ${policy}`;
    const { state } = other;
    if (state !== undefined && other.row?.held?.hash !== hashOf(state.value))
      return `${text(other)}: the ledger says otherwise`;
    if ((first.state === undefined) !== (state === undefined)) {
      if (cache.kind !== "plain") continue;
      // About to expire at both, a little earlier at one of them.
      const present = first.state === undefined ? other : first;
      if (endsSoon(present.leftMs, { toleranceMs })) continue;
      return `${text(first)}, ${text(other)}`;
    }
    if (first.state === undefined || state === undefined) continue;
    if (!first.state.value.equals(state.value)) return `${text(first)}, ${text(other)}`;
    if (first.leftMs !== other.leftMs && Math.abs(first.leftMs - other.leftMs) > toleranceMs) {
      return `${text(first)} for ${first.leftMs} ms, ${text(other)} for ${other.leftMs} ms (I2)`;
    }
  }
  return undefined;
}

/** What a row says that its cache holds is what its versions show under the site's policy: a pure function of them. */
function showsOtherwise(
  cache: string,
  { config }: SimSite,
  row: Entry | undefined,
): string | undefined {
  if (row === undefined || row.presence === "absent") return undefined;
  const { conflict } = policyOf(config, cache);
  const shows =
    typeof conflict === "object" && "merge" in conflict && row.siblings.length > 1
      ? undefined
      : shown(row.siblings, conflict, mergesOf(config).registry);
  if (shows === undefined || shows.kind === "merged") return undefined;
  if (shows.kind === "remove") return row.held === undefined ? undefined : "a remove shows";
  if (row.presence === "live") {
    return row.held?.hash === shows.hash ? undefined : `${shows.author} ${shows.dot} shows`;
  }
  return shows.expiresAt + shows.maxIdleMs > 0 ? undefined : `${shows.author} ${shows.dot} shows`;
}
