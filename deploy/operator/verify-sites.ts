import type { Config } from "../../topology/config/config.ts";
import {
  AUDIT_KEYS_MAX,
  CONTROL_TIMEOUT_MS,
  INSPECT_KEYS_MAX,
  VERIFY_LOOK_MS,
  VERIFY_LOOKS_MAX,
} from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import { cachesOf, policyOf, targetsOf } from "../../topology/policy/cache-policy.ts";
import { isPattern } from "../../topology/policy/reach.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";
import { causeOf, type Difference, isAlike, type SiteFacts, standingOf } from "./difference.ts";
import { type Asker, followJob } from "./follow-job.ts";
import type { KeyView } from "./key-view.ts";
import type { AuditedCache, Inspected, ResyncedCache } from "./sync-verbs.ts";

/** What was found of one cache. */
export interface VerifiedCache {
  readonly cache: CacheName;
  /** Entries in each site's cache. */
  readonly entries: Readonly<Record<SiteName, number>>;
  readonly differing: readonly Difference[];
  /** Keys that differed, and were written at each look: they are in flight. */
  readonly busy: number;
  /** More keys differed than are looked at one by one: `differing` is not all. */
  readonly isCut: boolean;
}

/** All that `isthmus verify` finds. */
export interface Verification {
  readonly caches: readonly VerifiedCache[];
  /** Caches whose contents are not the same by their policy, and why. */
  readonly leftOut: ReadonlyArray<{ readonly cache: CacheName; readonly why: string }>;
}

/** Why a cache's contents are not compared between the sites; undefined: they are. */
export function whyLeftOut(config: Config, cache: CacheName): string | undefined {
  const policy = policyOf(config, cache);
  if (policy.mode === "off" || policy.mode === "never") return `its mode is ${policy.mode}`;
  if (policy.mode === "invalidate") return "under invalidate each site has its own copies";
  const sites = config.sites.map(({ name }) => name);
  const isMesh = sites.every((site) => targetsOf(config, policy, site).length === sites.length - 1);
  return isMesh ? undefined : "it is not sent between all sites";
}

/**
 * Compares the real contents of caches at all sites. Each site iterates its caches beside its ledger, and the ledgers are
 * compared with each other; what differs is read key by key, again and again while it changes, so that what is in flight is not
 * reported.
 */
export class Verify {
  readonly #config: Config;
  readonly #asker: Asker;
  readonly #sites: readonly SiteName[];
  readonly #onProgress: (line: string) => void;

  constructor(config: Config, asker: Asker, onProgress: (line: string) => void) {
    this.#config = config;
    this.#asker = asker;
    this.#sites = config.sites.map(({ name }) => name);
    this.#onProgress = onProgress;
  }

  /** @throws PeerUnreachable and what the sites refuse: then nothing is known of what was not compared */
  async run(wanted: CacheName | undefined): Promise<Verification> {
    const named = wanted === undefined ? await this.#names() : [wanted];
    const leftOut: Array<{ cache: CacheName; why: string }> = [];
    const caches: VerifiedCache[] = [];
    for (const cache of named) {
      const why = whyLeftOut(this.#config, cache);
      if (why === undefined) caches.push(await this.#verify(cache));
      else if (wanted !== undefined || !why.startsWith("its mode")) leftOut.push({ cache, why });
    }
    return { caches, leftOut };
  }

  /** Exact names of the file; those that its patterns took, as the first site knows them. */
  async #names(): Promise<CacheName[]> {
    const named = cachesOf(this.#config);
    if (!this.#config.policies.some((rule) => rule.match.some(isPattern))) return named;
    const [site = ""] = this.#sites;
    const asked = await askVerb(this.#asker.bus, site, "caches", {}, CONTROL_TIMEOUT_MS);
    return [...new Set([...named, ...(asked as { caches: CacheName[] }).caches])];
  }

  async #verify(cache: CacheName): Promise<VerifiedCache> {
    const [first = "", ...others] = this.#sites;
    const tell = (what: string) => (progress: Readonly<Record<string, number>>) => {
      const counts = Object.entries(progress).map(([name, n]) => `${n} ${name}`);
      this.#onProgress(`${cache}: ${what}: ${counts.join(", ")}`);
    };
    const audits = await Promise.all(
      this.#sites.map(async (site) => {
        const job = { site, verb: "audit", question: { cache } };
        const found = await followJob<{ caches: AuditedCache[] }>(
          this.#asker,
          job,
          tell(`entries at ${site}`),
        );
        return [site, found.caches[0]] as const;
      }),
    );
    const suspects = new Set<string>();
    let isCut = false;
    const add = (keys: readonly string[], differing: number): void => {
      for (const key of keys) if (suspects.size < AUDIT_KEYS_MAX) suspects.add(key);
      isCut ||= differing > keys.length || suspects.size >= AUDIT_KEYS_MAX;
    };
    for (const [, audit] of audits) add(audit?.keys ?? [], audit?.differing ?? 0);
    for (const from of others) {
      const question = { from, cache, dryRun: true };
      const job = { site: first, verb: "resync", question };
      const found = await followJob<{ caches: ResyncedCache[] }>(
        this.#asker,
        job,
        tell(`ledgers of ${first} and ${from}`),
      );
      for (const { keys, differing } of found.caches) add(keys, differing);
    }
    const entries = audits.map(([site, audit]) => [site, audit?.entries ?? 0] as const);
    const looked = await this.#look(cache, [...suspects]);
    return { cache, entries: Object.fromEntries(entries), isCut, ...looked };
  }

  /** Looks at keys until each is alike, or stands still and differs. */
  async #look(
    cache: CacheName,
    suspects: readonly string[],
  ): Promise<Pick<VerifiedCache, "differing" | "busy">> {
    const differing: Difference[] = [];
    const stood = new Map<string, string>();
    let left = suspects;
    for (let look = 0; left.length > 0 && look < VERIFY_LOOKS_MAX; look++) {
      if (look > 0) await this.#asker.clock.sleep(VERIFY_LOOK_MS);
      const again: string[] = [];
      for (let at = 0; at < left.length; at += INSPECT_KEYS_MAX) {
        const page = left.slice(at, at + INSPECT_KEYS_MAX);
        const { views, facts } = await this.#inspect(cache, page);
        for (const key of page) {
          const sites = views.get(key) ?? [];
          if (isAlike(sites, facts)) continue;
          const stands = standingOf(sites);
          if (stood.get(key) === stands) {
            differing.push({ cache, key, cause: causeOf(sites, facts), sites });
          } else again.push(key);
          stood.set(key, stands);
        }
      }
      left = again;
    }
    return { differing, busy: left.length };
  }

  async #inspect(
    cache: CacheName,
    keys: readonly string[],
  ): Promise<{ views: Map<string, KeyView[]>; facts: Map<SiteName, SiteFacts> }> {
    const [first = ""] = this.#sites;
    const answers = await Promise.all(
      this.#sites.map(async (site) => {
        const question = { cache, keys };
        const { bus } = this.#asker;
        const told = await askVerb(bus, site, "inspect", question, CONTROL_TIMEOUT_MS);
        return [site, told as Inspected] as const;
      }),
    );
    const views = new Map<string, KeyView[]>();
    const facts = new Map<SiteName, SiteFacts>();
    for (const [site, { keys: found, offsets, gaps }] of answers) {
      facts.set(site, { offsetMs: offsets[first] ?? 0, gaps });
      for (const view of found) {
        const known = views.get(view.key);
        if (known === undefined) views.set(view.key, [view]);
        else known.push(view);
      }
    }
    return { views, facts };
  }
}
