import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { parseKey, showKey } from "../../topology/key-text.ts";
import {
  AUDIT_KEYS_MAX,
  INSPECT_KEYS_MAX,
  RESYNC_AGAIN_MS_MAX,
  RESYNC_TRIES_MAX,
} from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import { targetsOf } from "../../topology/policy/cache-policy.ts";
import type { Key } from "../../topology/version/entry.ts";
import { valueHash } from "../../topology/version/value-hash.ts";
import { Jobs } from "../../gateway/control/jobs.ts";
import { Question, serveVerb } from "../../gateway/control/operator-channel.ts";
import type { ResyncProgress, ResyncResult } from "../../gateway/resync/resync.ts";
import { auditCache } from "../../site-agent/audit.ts";
import type { HandledCache } from "../site/handled-cache.ts";
import type { ResyncOptions } from "../site/peer-repair.ts";
import { reseed } from "../site/reseed.ts";
import type { Site } from "../site/site.ts";
import { keyView, type KeyView } from "./key-view.ts";

/** What a resync that an operator asked for did to one cache, or would do. */
export interface ResyncedCache {
  readonly cache: CacheName;
  /** Keys whose entries differ between the two sites. */
  readonly differing: number;
  /** Entries that came. */
  readonly received: number;
  readonly bytes: number;
  /** The first of the keys that differ, as `showKey` has them; only of a dry run. */
  readonly keys: readonly string[];
}

/** What an audit of one cache found at one site. */
export interface AuditedCache {
  readonly cache: CacheName;
  readonly entries: number;
  readonly differing: number;
  /** As `showKey` has them. */
  readonly keys: readonly string[];
}

/** Answer of `inspect`. */
export interface Inspected {
  readonly keys: readonly KeyView[];
  /** This site's clock minus each peer's, ms. */
  readonly offsets: Readonly<Record<SiteName, number>>;
  readonly gaps: Readonly<Record<SiteName, string>>;
}

type Progress = Record<string, number>;

/** What one site answers to `resync`, `audit`, `inspect`, `job` and `caches`: what `isthmus resync` and `verify` are made of. */
export class SyncVerbs {
  readonly #site: Site;
  readonly #jobs = new Jobs();

  constructor(site: Site) {
    this.#site = site;
  }

  /** Answers until the returned function is called. */
  serve(): () => void {
    const { name, ports } = this.#site;
    const verbs: Readonly<Record<string, (question: Question) => object | Promise<object>>> = {
      resync: (question) => this.resync(question),
      audit: (question) => this.audit(question),
      inspect: (question) => this.inspect(question),
      job: (question) => this.#jobs.view(question.whole("id")),
      caches: (question) => ({ caches: this.#cachesOf(question).map((cache) => cache.name) }),
    };
    const ends = Object.entries(verbs).map(([verb, answer]) =>
      serveVerb(ports.bus, name, verb, async (question) => answer(new Question(question))),
    );
    return () => {
      this.#jobs.stop();
      for (const end of ends) end();
    };
  }

  /**
   * Starts to bring what differs from another site to this one, or to replace what this one has by it; answers with the job.
   */
  resync(question: Question): { job: number } {
    const from = question.text("from");
    const isDry = question.flag("dryRun");
    const isReseeding = question.flagOrFalse("reseed") && !isDry;
    if (!this.#site.peers.includes(from)) throw refused(`${this.#site.name} has no peer ${from}`);
    const caches = this.#cachesOf(question).filter(({ policy }) => {
      return targetsOf(this.#site.config, policy, from).includes(this.#site.name);
    });
    const job = this.#jobs.start(async (progress, signal) => {
      const done: ResyncedCache[] = [];
      for (const cache of caches)
        done.push(await this.#resyncOne(cache, { from, isDry, isReseeding, progress, signal }));
      return { caches: done };
    });
    return { job };
  }

  async #resyncOne(
    cache: HandledCache,
    {
      from,
      isDry,
      isReseeding,
      progress,
      signal,
    }: {
      from: SiteName;
      isDry: boolean;
      isReseeding: boolean;
      progress: Progress;
      signal: AbortSignal;
    },
  ): Promise<ResyncedCache> {
    const { clock, random } = this.#site.ports;
    const keys: Key[] = [];
    const onDiffering = (key: Key): void => {
      progress["differing"] = (progress["differing"] ?? 0) + 1;
      if (isDry && keys.length < AUDIT_KEYS_MAX) keys.push(key);
    };
    let stood: ResyncProgress | undefined;
    for (let tries = 0; ; tries++) {
      let moved = false;
      try {
        const options: ResyncOptions = {
          resume: stood,
          onDiffering,
          onProgress: (now, counts) => {
            moved = true;
            stood = now;
            progress["compared"] = (progress["compared"] ?? 0) + counts.compared;
            progress["received"] = (progress["received"] ?? 0) + counts.received;
          },
        };
        const directions = { pull: isDry ? ("number" as const) : ("values" as const), push: false };
        const result = isReseeding
          ? await reseed(this.#site, cache, from, signal, options)
          : await cache.repair?.resync(from, directions, signal, options);
        return resynced(cache.name, result, keys);
      } catch (error) {
        if (moved) tries = 0;
        if (isFinal(error) || signal.aborted || tries + 1 >= RESYNC_TRIES_MAX) throw error;
        const waits = { firstMs: 100, mostMs: RESYNC_AGAIN_MS_MAX };
        await clock.sleep(backOffMs(tries, waits, random), signal);
      }
    }
  }

  /** Starts to compare the real contents of caches with this site's ledger; answers with the job. */
  audit(question: Question): { job: number } {
    const caches = this.#cachesOf(question).filter(({ policy }) => policy.mode !== "invalidate");
    const job = this.#jobs.start(async (progress, signal) => {
      const done: AuditedCache[] = [];
      for (const cache of caches) {
        const parts = { ...this.#operated(cache), clock: this.#site.ports.clock };
        const onEntries = (more: number): void => {
          progress["entries"] = (progress["entries"] ?? 0) + more;
        };
        const { entries, keys, differing } = await auditCache(parts, onEntries, signal);
        done.push({ cache: cache.name, entries, differing, keys: keys.map(showKey) });
      }
      return { caches: done };
    });
    return { job };
  }

  /** What cache and ledger hold of some keys. */
  async inspect(question: Question): Promise<Inspected> {
    const [cache] = this.#cachesOf(question);
    if (cache === undefined) throw refused("a cache is to be named");
    const asked = question.list("keys").slice(0, INSPECT_KEYS_MAX);
    const keys = asked.map((key) => parseKey(typeof key === "string" ? key : ""));
    const { connector, rows, hash } = this.#operated(cache);
    const { name, peers, offsetFrom } = this.#site;
    const views = await Promise.all(
      keys.map(async (key) => {
        const state = await connector.read(key);
        const found = { state, hash: state === undefined ? "" : hash(state.value) };
        return keyView(name, key, rows.get(key), found);
      }),
    );
    const gaps = [...cache.peerGaps].map(([peer, { reason }]) => [peer, reason] as const);
    const offsets = peers.map((peer) => [peer, offsetFrom(peer)] as const);
    return { keys: views, offsets: Object.fromEntries(offsets), gaps: Object.fromEntries(gaps) };
  }

  /** The cache that a question names, or all that are handled here. @throws PeerRefused */
  #cachesOf(question: Question): HandledCache[] {
    const { caches, name } = this.#site;
    const wanted = question.textOrNull("cache");
    if (wanted === undefined) return [...caches.values()].filter((c) => c.agent !== undefined);
    const found = caches.get(wanted);
    if (found?.agent === undefined) throw refused(`${name} does not handle cache ${wanted}`);
    return [found];
  }

  #operated({ name, agent, connector }: HandledCache) {
    const { name: site } = this.#site;
    const mediaType = agent?.mediaType;
    if (agent === undefined || mediaType === undefined || !agent.isReady) {
      throw refused(`cache ${name} is not ready at ${site}`);
    }
    return {
      connector,
      rows: agent.rows,
      hash: (value: Uint8Array) => valueHash(mediaType, value),
    };
  }
}

/** Trying again would not help. */
const isFinal = (error: unknown): boolean =>
  error instanceof IsthmusError &&
  [ErrorCode.OperationRefused, ErrorCode.ReseedNeeded].some((code) => code === error.code);

const resynced = (
  cache: CacheName,
  result: ResyncResult | undefined,
  keys: readonly Key[],
): ResyncedCache => {
  const { differing, received, bytes } = result ?? { differing: 0, received: 0, bytes: 0 };
  return { cache, differing, received, bytes, keys: keys.map(showKey) };
};

const refused = (why: string): IsthmusError => new IsthmusError(ErrorCode.PeerRefused, why);
