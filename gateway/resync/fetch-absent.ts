import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  FETCH_AGAIN_MS_MAX,
  FETCH_BYTES_MAX,
  FETCH_KEYS_MAX,
  FETCH_TIMEOUT_MS,
} from "../../topology/limits.ts";
import { controlSubject, type CacheName, type SiteName } from "../../topology/names.ts";
import type { Bus, CacheHands, Clock, Logger, PeerEntry, Random } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import { Wakeup } from "../../topology/wakeup.ts";
import { decodeEntries, decodeKeys, encodeEntries, encodeKeys } from "./peer-entries.ts";
import { inOurClock, entryBytes } from "./resync-cache.ts";

const VERB = "fetch";

/** Answers the peers that ask for keys which they have without a copy. The returned function ends it. */
export function serveFetch(
  bus: Bus,
  site: SiteName,
  hands: (cache: CacheName) => CacheHands | undefined,
): () => void {
  return bus.serve(controlSubject(site, VERB), async (payload) => {
    const { cache, keys } = decodeKeys(payload);
    const ours = hands(cache);
    if (ours === undefined) {
      throw new IsthmusError(ErrorCode.PeerRefused, `${site} does not handle cache ${cache}`);
    }
    return encodeEntries(upTo(FETCH_BYTES_MAX, await ours.offer(keys)));
  });
}

/** The first entries that fit into `bytes` of values, at least one: the peer asks again for the rest. */
function upTo(bytes: number, entries: readonly PeerEntry[]): readonly PeerEntry[] {
  let sum = 0;
  const end = entries.findIndex((entry) => {
    sum += entryBytes(entry);
    return sum > bytes;
  });
  return end < 0 ? entries : entries.slice(0, Math.max(1, end));
}

/** What {@link AbsentFetcher} needs of its site. */
export interface AbsentFetcherParts {
  readonly cache: CacheName;
  /** Those that may be asked now. Throws while nothing may be fetched. */
  readonly peers: () => readonly SiteName[];
  readonly hands: CacheHands;
  readonly absentKeys: () => AsyncIterable<Key>;
  /** This site's clock minus the peer's, ms. */
  readonly offsetMs: (peer: SiteName) => number;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Gets the copies that this cache lost (restarted empty, evicted) from the peers, a page of keys at a time, from one peer
 * after the other until every key was found somewhere or every peer was asked.
 */
export class AbsentFetcher {
  readonly #parts: AbsentFetcherParts;
  readonly #wakeup = new Wakeup();
  /** Keys fetched, and keys that no peer had, since the process started. */
  fetched = 0;
  notFound = 0;

  constructor(parts: AbsentFetcherParts) {
    this.#parts = parts;
  }

  /** Keys without a copy may have come up. */
  kick(): void {
    this.#wakeup.call();
  }

  /** Fetches whenever kicked, until the signal aborts; tries again while a peer cannot be reached. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#parts;
    for (let attempt = 0; !signal.aborted;) {
      await this.#wakeup.wait(signal);
      if (signal.aborted) return;
      try {
        const isAll = await this.#fetchAll(signal);
        attempt = isAll ? 0 : attempt + 1;
      } catch (error) {
        if (attempt === 0) logger.warn({ err: error }, "fetching absent keys failed, tried again");
        attempt += 1;
      }
      if (attempt === 0) continue;
      // Also for keys that no peer had: one may get the copy later, from a log that is still on its way.
      this.#wakeup.call();
      const waits = { firstMs: 50, mostMs: FETCH_AGAIN_MS_MAX };
      await clock.sleep(backOffMs(attempt, waits, random), signal);
    }
  }

  /** Fetches these keys now; resolves when every peer was asked for what none had. @throws as the bus does */
  async fetch(keys: readonly Key[]): Promise<void> {
    for (let at = 0; at < keys.length; at += FETCH_KEYS_MAX) {
      await this.#fetchPage(keys.slice(at, at + FETCH_KEYS_MAX));
    }
  }

  /** True if no key is left that no peer had. */
  async #fetchAll(signal: AbortSignal): Promise<boolean> {
    const { absentKeys, logger } = this.#parts;
    let isAll = true;
    const before = this.fetched;
    let page: Key[] = [];
    for await (const key of absentKeys()) {
      page.push(key);
      if (page.length < FETCH_KEYS_MAX) continue;
      isAll = (await this.#fetchPage(page)) && isAll;
      page = [];
      if (signal.aborted) return true;
    }
    if (page.length > 0) isAll = (await this.#fetchPage(page)) && isAll;
    const fetched = this.fetched - before;
    if (fetched > 0) logger.info({ fetched, notFound: this.notFound }, "fetched absent keys");
    return isAll;
  }

  /** True if every key was found. @throws what the last unreachable peer threw, if keys are left that it might have had. */
  async #fetchPage(keys: readonly Key[]): Promise<boolean> {
    const left = new Set(keys);
    let failure: unknown;
    for (const peer of this.#parts.peers()) {
      try {
        // A peer answers as much as fits into one message: ask again while it has more.
        while (left.size > 0 && (await this.#ask(peer, left)));
      } catch (error) {
        failure = error;
      }
    }
    if (left.size > 0 && failure !== undefined) throw failure;
    this.notFound += left.size;
    return left.size === 0;
  }

  /** Takes from `left` what the peer had; true if it had something. */
  async #ask(peer: SiteName, left: Set<Key>): Promise<boolean> {
    const { cache, bus, hands, offsetMs } = this.#parts;
    const question = encodeKeys(cache, [...left]);
    const answer = await bus.request(controlSubject(peer, VERB), question, FETCH_TIMEOUT_MS);
    // Only what was asked for: else an answer about other keys would be asked for again without end.
    const entries = decodeEntries(answer).filter(
      ({ key, versions }) => versions !== undefined && left.has(key),
    );
    await Promise.all(entries.map((entry) => hands.merge(inOurClock(entry, offsetMs(peer)))));
    for (const { key } of entries) left.delete(key);
    this.fetched += entries.length;
    return entries.length > 0;
  }
}
