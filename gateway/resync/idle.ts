import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  IDLE_GATHER_MS,
  IDLE_KEYS_MAX,
  IDLE_TIMEOUT_MS,
  IDLE_UNANSWERED_MS_MAX,
  IDLE_WAITING_MAX,
  RETRY_MS_MAX,
} from "../../topology/limits.ts";
import { controlSubject, type CacheName, type SiteName } from "../../topology/names.ts";
import type { Bus, CacheHands, Clock, LastUse, Logger } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import { Wakeup } from "../../topology/wakeup.ts";
import { decodeKeys, decodeUses, encodeKeys, encodeUses } from "./peer-entries.ts";

const VERB = "idle";

/** Answers the peers that ask when keys were last used here. The returned function ends it. */
export function serveIdle(
  bus: Bus,
  site: SiteName,
  hands: (cache: CacheName) => Pick<CacheHands, "lastUses"> | undefined,
): () => void {
  return bus.serve(controlSubject(site, VERB), async (payload) => {
    const { cache, keys } = decodeKeys(payload);
    const ours = hands(cache);
    if (ours === undefined) {
      throw new IsthmusError(ErrorCode.PeerRefused, `${site} does not handle cache ${cache}`);
    }
    if (keys.length > IDLE_KEYS_MAX) {
      const found = `${keys.length} keys in one question about cache ${cache}`;
      throw new IsthmusError(ErrorCode.PeerRefused, `${found}, at most ${IDLE_KEYS_MAX} may be`);
    }
    return encodeUses(await ours.lastUses(keys));
  });
}

/** What becomes of a key that went idle. */
export type IdleDecision =
  /** A client of a peer used it at `usedAt`: it is put back. */
  | { readonly is: "put back"; readonly usedAt: number }
  /** Nobody did, and no site has a copy any more. */
  | { readonly is: "ended" }
  /** A peer did not answer. */
  | { readonly is: "unanswered" }
  /** A peer has a copy until `until` that only Isthmus touched: a client may use it before it ends. */
  | { readonly is: "held"; readonly until: number };

/**
 * Decides about one key from the peers' answers (undefined: none came), all times in this site's clock. An entry that no
 * client uses ends at every site, whatever Isthmus did to it: only a client's use puts it back, only a copy defers its end.
 */
export function decideIdle(
  answers: ReadonlyArray<LastUse | undefined>,
  maxIdleMs: number,
  now: number,
): IdleDecision {
  let usedAt = 0;
  let until = 0;
  for (const answer of answers) {
    usedAt = Math.max(usedAt, answer?.usedAt ?? 0);
    until = Math.max(until, answer?.heldUntil ?? 0);
  }
  if (usedAt + maxIdleMs > now) return { is: "put back", usedAt };
  if (answers.includes(undefined)) return { is: "unanswered" };
  return until > now ? { is: "held", until } : { is: "ended" };
}

/** The keys of one cache here that went idle, as the ledger has them. */
export interface IdleRows {
  /** The max-idle of a key that waits for the peers' answers, ms; undefined: it does not wait (any more). */
  waiting(key: Key): number | undefined;
  waitingKeys(): AsyncIterable<Key>;
  /** Ends the entry here, unless it waits no more; resolves with whether it did. */
  expire(key: Key): Promise<boolean>;
  /** A client of a peer used it at `at`, ms since the epoch in this site's clock. */
  usedElsewhere(key: Key, at: number): void;
}

/** What {@link IdleAsker} needs of its site. */
export interface IdleAskerParts {
  readonly cache: CacheName;
  readonly peers: readonly SiteName[];
  readonly rows: IdleRows;
  /** Puts back what the peers offer of these keys. */
  readonly fetch: (keys: readonly Key[]) => Promise<void>;
  /** This site's clock minus the peer's, ms. */
  readonly offsetMs: (peer: SiteName) => number;
  /** False: the peer is silent, so that asking it would only hold up the answers of the others. */
  readonly isHeard: (peer: SiteName) => boolean;
  readonly stats: {
    idleAsked: number;
    idlePutBack: number;
    idleExpired: number;
    idleUnanswered: number;
  };
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A key that waits; monotonic ms. */
interface Waiting {
  dueAt: number;
  /** Since when peers have not answered, or not sent what they have; undefined: they did. */
  unansweredSince: number | undefined;
  attempts: number;
}

/**
 * Asks the peers about entries that went idle here, many at a time: one that a client used at a peer is put back, one that
 * nobody used ends (design section 7). While a peer does not answer it is asked again, for a bounded time.
 */
export class IdleAsker {
  readonly #parts: IdleAskerParts;
  readonly #waiting = new Map<Key, Waiting>();
  /** Keys may wait in the ledger that are not in memory. */
  #isMore = false;
  readonly #wakeup = new Wakeup();

  constructor(parts: IdleAskerParts) {
    this.#parts = parts;
  }

  /** A key went idle. */
  add(key: Key): void {
    const isNew = !this.#waiting.has(key);
    if (isNew && this.#waiting.size >= IDLE_WAITING_MAX) {
      this.#isMore = true;
      return;
    }
    if (isNew) this.#parts.stats.idleAsked += 1;
    const dueAt = this.#parts.clock.monotonic() + IDLE_GATHER_MS;
    this.#waiting.set(key, { dueAt, unansweredSince: undefined, attempts: 0 });
    this.#wakeup.call();
  }

  /** Keys may wait in the ledger: of an earlier run, or because copies were lost. */
  kick(): void {
    this.#isMore = true;
    this.#wakeup.call();
  }

  /** Asks whenever there is something to ask, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    while (!signal.aborted) {
      if (!this.#isMore && this.#waiting.size === 0) await this.#wakeup.wait(signal);
      if (signal.aborted) return;
      await clock.sleep(IDLE_GATHER_MS / 2, signal);
      if (signal.aborted) return;
      try {
        if (this.#isMore && this.#waiting.size < IDLE_WAITING_MAX / 2) await this.#findMore(signal);
        await this.#round(signal);
      } catch (error) {
        logger.warn({ err: error }, "idle keys could not be settled, tried again");
        await clock.sleep(RETRY_MS_MAX, signal);
      }
    }
  }

  async #findMore(signal: AbortSignal): Promise<void> {
    this.#isMore = false;
    for await (const key of this.#parts.rows.waitingKeys()) {
      if (!this.#waiting.has(key)) this.add(key);
      if (this.#isMore || signal.aborted) return;
    }
  }

  /** Everything that is due, a page after the other. */
  async #round(signal: AbortSignal): Promise<void> {
    const now = this.#parts.clock.monotonic();
    const due: Key[] = [];
    for (const [key, { dueAt }] of this.#waiting) if (dueAt <= now) due.push(key);
    for (let at = 0; at < due.length && !signal.aborted; at += IDLE_KEYS_MAX) {
      await this.#settle(due.slice(at, at + IDLE_KEYS_MAX));
    }
  }

  async #settle(due: readonly Key[]): Promise<void> {
    const { peers, rows, clock } = this.#parts;
    const keys = due.filter((key) => this.#isWaiting(key));
    if (keys.length === 0) return;
    const answers = await Promise.all(peers.map((peer) => this.#ask(peer, keys)));
    const used: Key[] = [];
    for (const [i, key] of keys.entries()) {
      const maxIdleMs = rows.waiting(key);
      const waiting = this.#waiting.get(key);
      if (maxIdleMs === undefined || waiting === undefined) {
        this.#waiting.delete(key);
        continue;
      }
      const uses = answers.map((answer) => answer?.[i]);
      const now = clock.now();
      const decision = decideIdle(uses, maxIdleMs, now);
      if (decision.is === "put back") {
        rows.usedElsewhere(key, decision.usedAt);
        used.push(key);
      } else if (decision.is === "ended") await this.#end(key);
      else if (decision.is === "unanswered") await this.#askAgain(key, waiting);
      else {
        waiting.unansweredSince = undefined;
        waiting.dueAt = clock.monotonic() + (decision.until - now) + IDLE_GATHER_MS;
      }
    }
    if (used.length > 0) await this.#putBack(used);
  }

  /** False: a write came, or it was settled otherwise. */
  #isWaiting(key: Key): boolean {
    if (this.#parts.rows.waiting(key) !== undefined) return true;
    this.#waiting.delete(key);
    return false;
  }

  /** The peer's answers in this site's clock; undefined: none came. */
  async #ask(peer: SiteName, keys: readonly Key[]): Promise<readonly LastUse[] | undefined> {
    const { cache, bus, offsetMs, isHeard, logger } = this.#parts;
    if (!isHeard(peer)) return undefined;
    try {
      const question = encodeKeys(cache, keys);
      const answer = await bus.request(controlSubject(peer, VERB), question, IDLE_TIMEOUT_MS);
      const offset = offsetMs(peer);
      return decodeUses(answer, keys.length).map(({ usedAt, heldUntil }) => ({
        usedAt: usedAt === 0 ? 0 : usedAt + offset,
        heldUntil: heldUntil === 0 ? 0 : heldUntil + offset,
      }));
    } catch (error) {
      logger.debug({ err: error, peer }, "a peer was asked about idle keys and did not answer");
      return undefined;
    }
  }

  async #putBack(keys: readonly Key[]): Promise<void> {
    const { fetch, rows, stats, logger } = this.#parts;
    await fetch(keys).catch((error: unknown) => {
      logger.debug({ err: error }, "idle keys could not be fetched, tried again");
    });
    for (const key of keys) {
      const waiting = this.#waiting.get(key);
      if (rows.waiting(key) === undefined) {
        this.#waiting.delete(key);
        stats.idlePutBack += 1;
      } else if (waiting !== undefined) await this.#askAgain(key, waiting);
    }
  }

  async #askAgain(key: Key, waiting: Waiting): Promise<void> {
    const { clock, stats } = this.#parts;
    const now = clock.monotonic();
    waiting.unansweredSince ??= now;
    if (now - waiting.unansweredSince >= IDLE_UNANSWERED_MS_MAX) {
      stats.idleUnanswered += 1;
      await this.#end(key);
      return;
    }
    waiting.dueAt = now + Math.min(2 ** Math.min(waiting.attempts, 12) * 500, RETRY_MS_MAX);
    waiting.attempts += 1;
  }

  async #end(key: Key): Promise<void> {
    if (await this.#parts.rows.expire(key)) this.#parts.stats.idleExpired += 1;
    this.#waiting.delete(key);
  }
}
