import { APPLY_ITEMS_MAX, DIRTY_KEYS_MAX } from "../../../topology/limits.ts";
import { decodeRecord } from "../../../topology/mutation/batch.ts";
import type { StoredMessage } from "../../../topology/ports.ts";
import type { Context, Entry } from "../../../topology/version/entry.ts";
import { EMPTY_CONTEXT } from "../../../topology/version/context.ts";
import { entryPrefix, FACT_PREFIX, type LedgerDisk } from "./sim-ledger.ts";
import type { Oracle } from "./oracle.ts";
import { hashOf, type SimCache } from "./sim-cache.ts";
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
  stored(site: string, record: StoredMessage): void {
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
      this.#byDot.set(id, { site, cache, key, dot, hash });
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
      const before = disk.rows.get(name);
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

/** What differs between the sites, or is not as it must be, once nothing moves any more; undefined: all is well (I1, I2, I3). */
export function finalObjection(
  cache: string,
  sites: readonly SimSite[],
  oracle: Oracle,
  options: { published: Iterable<Published>; toleranceMs: number },
): string | undefined {
  const keys = new Set(oracle.keys());
  for (const site of sites) for (const key of cacheOf(site, cache).keys()) keys.add(key);
  for (const key of keys) {
    const why = keyObjection(cache, key, sites, options.toleranceMs);
    if (why !== undefined) return `${cache}/${key}: ${why}`;
    const first = sites[0];
    if (first === undefined) continue;
    const state = cacheOf(first, cache).peek(key);
    const objection = oracle.objection(key, state === undefined ? undefined : hashOf(state.value));
    if (objection !== undefined) return `${cache}/${key}: ${objection}`;
  }
  for (const { site, cache: of, key, dot } of options.published) {
    if (of !== cache) continue;
    for (const target of sites) {
      const context = rowOf(target, cache, key)?.context ?? floorOf(target, cache);
      if ((context.get(site) ?? 0n) < dot) {
        return `${cache}/${key}: ${target.name} never joined ${site} ${dot} (I1)`;
      }
    }
  }
  return undefined;
}

export const rowOf = (site: SimSite, cache: string, key: string): Entry | undefined =>
  site.disk.rows.get(entryPrefix(cache) + key) as Entry | undefined;

function floorOf(site: SimSite, cache: string): Context {
  const floor = site.disk.rows.get(`${FACT_PREFIX}floor/${cache}`) as Context | undefined;
  return floor ?? EMPTY_CONTEXT;
}

export function cacheOf(site: SimSite, cache: string): SimCache {
  const found = site.ground.caches.caches.get(cache);
  if (found === undefined) throw new Error(`no cache ${cache}`);
  return found;
}

function keyObjection(
  cache: string,
  key: string,
  sites: readonly SimSite[],
  toleranceMs: number,
): string | undefined {
  const shows = sites.map((site) => {
    const state = cacheOf(site, cache).peek(key);
    const row = rowOf(site, cache, key);
    const leftMs = state === undefined ? 0 : cacheOf(site, cache).leftMs(state);
    const siblings = row?.siblings.map((s) => `${s.author} ${s.dot} ${s.hash}`).join("; ");
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
    // What goes missing within 2.5 s of its expiry counts as expired, and may live on elsewhere for so long.
    const isNear = (s: typeof first): boolean => s.leftMs < toleranceMs + 2_500;
    if ((first.state === undefined) !== (other.state === undefined)) {
      // About to expire at both, a little earlier at one of them.
      const present = first.state === undefined ? other : first;
      if (isNear(present)) continue;
      return `${text(first)}, ${text(other)}`;
    }
    if (first.state === undefined || other.state === undefined) continue;
    if (!first.state.value.equals(other.state.value)) return `${text(first)}, ${text(other)}`;
    if (first.leftMs !== other.leftMs && Math.abs(first.leftMs - other.leftMs) > toleranceMs) {
      return `${text(first)} for ${first.leftMs} ms, ${text(other)} for ${other.leftMs} ms (I2)`;
    }
    const held = other.row?.held;
    if (held?.hash !== hashOf(other.state.value))
      return `${text(other)}: the ledger says otherwise`;
  }
  return undefined;
}
