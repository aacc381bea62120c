import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { APPLY_RACES_MAX, LAGGING_READ_MS_MAX } from "../../topology/limits.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import type {
  ApplyOutcome,
  CacheConnector,
  CacheLedger,
  CacheState,
  Clock,
  Ledger,
  PeerEntry,
} from "../../topology/ports.ts";
import type {
  Context,
  Entry,
  Held,
  Key,
  Sibling,
  ValueHash,
  Versions,
} from "../../topology/version/entry.ts";
import { mergedWith, sameSiblings } from "../../topology/version/compare.ts";
import { type Reseeding, reseededEntry, voided } from "../../topology/version/reseeded.ts";
import { equalContexts } from "../../topology/version/context.ts";
import { type Arrival, joinVersion } from "../../topology/version/join.ts";
import { shown, type MergeRegistry, type Shown } from "../../topology/version/show.ts";
import { valuesNeeded, valuesToKeep } from "../../topology/version/show.ts";
import type { CacheStats } from "../cache-stats.ts";
import type { DotReserve } from "../dot-reserve.ts";
import type { GivenCopies } from "../given-copies.ts";
import type { KeyLocks } from "../key-locks.ts";
import type { PastStates } from "../past-states.ts";
import type { LocalChanges } from "../local-changes.ts";
import { type DirtyKeys, expiredHash, type Mark } from "../tail/dirty-keys.ts";
import { dateOf, endOf, isKnownCopy, sameExpiry } from "../tail/judge.ts";
import type { Intents } from "./intents.ts";
import type { UnknownWrites } from "./unknown-writes.ts";
import {
  planWrite,
  withoutCopy,
  withKeptValues,
  withValue,
  type Plan,
  type Resolved,
  resolvedAlone,
  resolvedNowhere,
  type Wanted,
} from "./plan.ts";

/** What {@link Applier} needs of its site. */
export interface ApplierParts {
  readonly ledger: Ledger;
  readonly rows: CacheLedger;
  readonly connector: CacheConnector;
  readonly locks: KeyLocks;
  readonly dirty: DirtyKeys;
  readonly changes: LocalChanges;
  readonly dots: DotReserve;
  readonly stats: CacheStats;
  readonly clock: Clock;
  readonly hash: (value: Uint8Array) => ValueHash;
  readonly floor: () => Context;
  readonly policy: ConflictPolicy;
  readonly merges: MergeRegistry;
  readonly invalidate: boolean;
  /** Whether there are peers to ask for the last use of what went idle. */
  readonly asksPeers: boolean;
  /** A key went idle: it waits as `absent` until the peers were asked. */
  readonly onIdle: (key: Key) => void;
  readonly expirySlackMs: number;
  readonly unknownWrites: UnknownWrites;
  readonly intents: Intents;
  readonly past: PastStates;
  readonly copies: GivenCopies;
  /** Whether a key stays at its site: what arrives of it is known of, and never written. */
  readonly isLocalKey: (key: Key) => boolean;
  readonly listener: () => number;
  /** A key got concurrent versions: once per set of siblings. */
  readonly onConflict: (key: Key, versions: Versions, shows: Shown) => void;
  /**
   * Changes may have been missed, and no scan has found them yet: the date of what is found and has none of its own, ms since
   * the epoch. undefined: what is there was seen as it was written.
   */
  readonly unseenSince: () => number | undefined;
  /** A key's bytes are at no hand here: fetch them from a peer. */
  readonly onMissingValue: (key: Key) => void;
}

type Join = (entry: Entry | undefined) => {
  versions: Versions | undefined;
  changed: boolean;
  /** The cache may differ from what shows though nothing arrived. */
  isStray?: boolean;
  /** Versions of this site that no site will have any more: told as a conflict that they lost. */
  lost?: readonly Sibling[];
};

/** How one attempt to write ended. `again`: something else was found and staged; look at the key anew. */
type Written =
  | { readonly end: "done"; readonly token: bigint | undefined }
  | { readonly end: "again" };

const AGAIN: Written = { end: "again" };

/**
 * Brings arriving versions into ledger and cache, one key at a time: join, decide, compare-and-set. A write that lost to a
 * local one captures that first, against the row as it was before the join, because its writer never saw what arrived.
 */
export class Applier {
  readonly #parts: ApplierParts;
  /** After an unclean start: hashes that an apply of the last run may have written, by key (I6). */
  #recovered: ReadonlyMap<Key, ReadonlySet<ValueHash>> | undefined;
  /** Keys whose absence the first scan has to judge before anything is applied to them. */
  #left = new Set<Key>();

  constructor(parts: ApplierParts) {
    this.#parts = parts;
  }

  /** Until {@link Applier.recovered}, a state with one of these hashes is what an apply wrote, never a local change. */
  recovering(known: ReadonlyMap<Key, ReadonlySet<ValueHash>>): void {
    this.#recovered = known;
    this.#left = new Set();
  }

  /** Ends a recovery. Returns the keys that are missing and were left as they are: a scan judges them, then they are applied. */
  recovered(): ReadonlySet<Key> {
    this.#recovered = undefined;
    return this.#left;
  }

  /** Joins versions of one key, in the order of their log; resolves once the result is committed. */
  apply(key: Key, arrivals: readonly Arrival[]): Promise<ApplyOutcome> {
    return this.#bring(key, (entry) => {
      let versions: Versions | undefined = entry;
      let changed = false;
      for (const arrival of arrivals) {
        const joined = joinVersion(versions, this.#parts.floor(), arrival);
        versions = joined.versions;
        changed ||= joined.changed;
        // Seen before, but its bytes may be gone here: a key without a copy is given them.
        if (joined.changed || versions === undefined || arrival.value === undefined) continue;
        versions = withValue(versions, arrival.hash, arrival.value);
      }
      return { versions, changed };
    });
  }

  /**
   * Merges a peer's whole entry of one key (resync, absent keys), or replaces this site's by it where the site is re-seeded;
   * resolves once the result is committed.
   */
  merge(key: Key, peer: PeerEntry, reseeding?: Reseeding): Promise<ApplyOutcome> {
    const merge: Join = (entry) => {
      const floor = this.#parts.floor();
      const versions =
        reseeding === undefined
          ? mergedWith(entry, floor, peer)
          : reseededEntry(entry, floor, peer, reseeding);
      const lost = reseeding === undefined ? [] : voided(entry, peer, reseeding);
      return { versions, changed: !sameVersions(entry, versions), lost };
    };
    return this.#bring(key, merge, "no log");
  }

  /** Makes the cache hold what shows of a key that it holds something else of by a write of ours. */
  settle(key: Key): Promise<ApplyOutcome> {
    const stay: Join = (entry) => ({ versions: entry, changed: false, isStray: true });
    return this.#bring(key, stay, "no log");
  }

  /** The same, of versions that the ledger got beside each other: a conflict that is told now. */
  contest(key: Key): Promise<ApplyOutcome> {
    return this.#bring(key, (entry) => ({ versions: entry, changed: true }), "no log");
  }

  async #bring(key: Key, join: Join, toldBy: "a log" | "no log" = "a log"): Promise<ApplyOutcome> {
    const { locks, rows, stats } = this.#parts;
    if (!locks.tryHold(key)) await locks.turn(key);
    try {
      for (let race = 0; race < APPLY_RACES_MAX; race++) {
        const entry = rows.get(key);
        const { versions, changed, isStray, lost = [] } = join(entry);
        const isRight = !changed && isStray !== true && entry?.presence !== "absent";
        if (versions === undefined || isRight) {
          stats.appliedCovered += 1;
          return "covered";
        }
        const outcome = await this.#attempt(key, entry, versions, { changed, toldBy, lost });
        if (outcome !== undefined) return outcome;
        if (this.#recovered !== undefined && this.#left.has(key)) return "kept";
      }
    } finally {
      locks.release(key);
    }
    throw new IsthmusError(
      ErrorCode.ApplyRaced,
      `a key lost its compare-and-set ${APPLY_RACES_MAX} times in a row to local writes`,
      { hint: "It is tried again by itself; a key that is written this often conflates." },
    );
  }

  /** One attempt; undefined: the key changed underneath. */
  async #attempt(
    key: Key,
    entry: Entry | undefined,
    joined: Versions,
    {
      changed,
      toldBy,
      lost,
    }: { changed: boolean; toldBy: "a log" | "no log"; lost: readonly Sibling[] },
  ): Promise<ApplyOutcome | undefined> {
    const losing = { context: joined.context, siblings: lost };
    const told = lost.length > 0 ? await this.#withHeldValue(key, entry, losing, lost) : losing;
    if (told === undefined) return undefined;
    const { stats, clock, hash, invalidate, rows, ledger, intents, past, copies } = this.#parts;
    const isLocal = this.#parts.isLocalKey(key);
    const resolved = isLocal
      ? resolvedNowhere(joined)
      : joined.siblings.length > 1
        ? await this.#resolve(key, entry, joined)
        : resolvedAlone(joined);
    if (resolved === undefined) return undefined;
    const { versions, shows, keep, isKnown } = resolved;
    const mergedHash = shows?.kind === "merged" ? hash(shows.value) : undefined;
    let isElsewhere = false;
    let plan = planWrite(entry, shows, { now: clock.now(), invalidate, mergedHash });
    if (!isKnown || (plan.write === "put" && plan.wanted.value === undefined)) {
      // Its bytes are at a peer: until they come no copy is better than one that was superseded.
      isElsewhere = true;
      plan = withoutCopy(entry);
    }
    if (entry !== undefined && plan.write !== "none" && keep.length > 0) {
      // What is about to be overwritten here must survive a crash between the write and the commit.
      const siblings = entry.siblings.map((s) => keep.find((k) => isSameVersion(k, s)) ?? s);
      rows.put(key, { ...entry, siblings });
      await ledger.commit();
    }
    if (toldBy === "no log" && plan.write !== "none") await intents.store(key, versions, plan);
    const written = await this.#write(key, entry, plan);
    intents.clear(key);
    if (written.end === "again") return undefined;
    rows.put(key, this.#rowAfter(entry, versions, plan, written.token));
    if (plan.write !== "none") {
      past.replaced(key, entry?.held);
      copies.written(key, plan.write === "put" ? entry : undefined);
    }
    if (plan.write === "none") stats.appliedKept += 1;
    else stats.appliedWrites += 1;
    if (told.siblings.length > 0) {
      const others = versions.siblings.filter(
        ({ author }) => !told.siblings.some((s) => s.author === author),
      );
      const siblings = [...told.siblings, ...others];
      this.#parts.onConflict(key, { context: versions.context, siblings }, shows);
    }
    if (changed && !isLocal && isConflict(versions.siblings)) {
      stats.conflicts += 1;
      this.#parts.onConflict(key, versions, shows);
    }
    await ledger.commit();
    // Only now, for who fetches looks for rows that say so.
    if (isElsewhere) this.#parts.onMissingValue(key);
    return plan.write === "none" ? "kept" : "written";
  }

  /** What shows of several versions, with the bytes that this takes. undefined: the key changed underneath. */
  async #resolve(
    key: Key,
    entry: Entry | undefined,
    joined: Versions,
  ): Promise<Resolved | undefined> {
    const { policy, merges } = this.#parts;
    const needed = valuesNeeded(joined.siblings, policy);
    const versions = await this.#withHeldValue(key, entry, joined, needed);
    if (versions === undefined) return undefined;
    // Without all its inputs a merge says nothing yet.
    const isKnown = valuesNeeded(versions.siblings, policy).every((s) => s.value !== undefined);
    const show = ({ siblings }: Versions) =>
      isKnown ? shown(siblings, policy, merges) : undefined;
    const shows = show(versions);
    const hidden = valuesToKeep(versions.siblings, shows);
    const complete = await this.#withHeldValue(key, entry, versions, hidden);
    if (complete === undefined) return undefined;
    const keep = valuesToKeep(complete.siblings, show(complete));
    return { versions: withKeptValues(complete, keep), shows, keep, isKnown };
  }

  #rowAfter(
    entry: Entry | undefined,
    versions: Versions,
    plan: Plan,
    token: bigint | undefined,
  ): Entry {
    const { context, siblings } = versions;
    const outboxSeq = entry?.outboxSeq ?? 0;
    if (plan.write === "none") {
      const held = plan.presence === "live" ? entry?.held : undefined;
      return { context, siblings, presence: plan.presence, held, outboxSeq };
    }
    if (plan.write === "remove") {
      return { context, siblings, presence: plan.presence, held: undefined, outboxSeq };
    }
    const { hash, expiresAt, maxIdleMs } = plan.wanted;
    // The next event of this key is ours if the one of the state that was replaced has been seen: that of an apply has not
    // as long as it did not tell the token.
    const listener = this.#parts.listener();
    const before = entry?.held;
    const isSeen = before?.token !== undefined && before.seenBy === listener;
    const seenBy = token === undefined && isSeen ? listener : 0;
    const held = { hash, token, seenBy, expiresAt, maxIdleMs };
    return { context, siblings, presence: "live", held, outboxSeq };
  }

  /**
   * Fills in the bytes of a sibling among `wanted` that only the cache holds. undefined: the cache holds something else by
   * now, which was captured.
   */
  async #withHeldValue(
    key: Key,
    entry: Entry | undefined,
    versions: Versions,
    wanted: readonly { hash: ValueHash; value?: Uint8Array }[],
  ): Promise<Versions | undefined> {
    const held = entry?.presence === "live" ? entry.held : undefined;
    const lacking = wanted.find((s) => s.value === undefined && s.hash === held?.hash);
    if (lacking === undefined || held === undefined) return versions;
    const state = await this.#parts.connector.read(key);
    if (state === undefined || this.#parts.hash(state.value) !== held.hash) {
      await this.#found(key, entry, state, undefined);
      return undefined;
    }
    return withValue(versions, held.hash, state.value);
  }

  #write(key: Key, entry: Entry | undefined, plan: Plan): Promise<Written> {
    const held = entry?.presence === "live" ? entry.held : undefined;
    if (plan.write === "none") return this.#leave(key, entry, held, plan.presence);
    if (held !== undefined && (held.token === undefined || held.token === 0n)) {
      return this.#readAndSet(key, entry, plan, held);
    }
    return this.#compareAndSet(key, entry, plan, held?.token ?? "missing");
  }

  async #leave(
    key: Key,
    entry: Entry | undefined,
    held: Held | undefined,
    presence: Entry["presence"],
  ): Promise<Written> {
    // A remove of a key that is not here: look whether a local write came that no event told of yet.
    // Under invalidate a load may have come meanwhile, which no read of the key told of yet: it is older than what arrived.
    const { invalidate, unseenSince } = this.#parts;
    const isGone = entry?.presence === "tombstone" && !invalidate;
    const isRight = presence === "live" || held !== undefined || isGone;
    // While changes may have been missed nobody tells of a local write whose writer never saw what arrives (I1), nor, after
    // an unclean end, of an apply of which the row knows nothing (I6).
    if (isRight && unseenSince() === undefined) return { end: "done", token: held?.token };
    const state = await this.#parts.connector.read(key);
    if (held === undefined ? state === undefined : this.#isHeld(state, held)) {
      return { end: "done", token: held?.token };
    }
    return this.#found(key, entry, state, undefined);
  }

  #isHeld(state: CacheState | undefined, held: Held): boolean {
    if (state === undefined) return false;
    if (held.token !== undefined && held.token !== 0n) return state.token === held.token;
    return this.#parts.hash(state.value) === held.hash && sameExpiry(state, held);
  }

  /** What is held here has no token, or none that is known yet: there is only what is read right before to compare and set by. */
  async #readAndSet(key: Key, entry: Entry | undefined, plan: Plan, held: Held): Promise<Written> {
    const state = await this.#parts.connector.read(key);
    // One with a token where there was none was written anew, with the same bytes.
    const isAnew = held.token === 0n && state?.token !== 0n;
    if (state === undefined || isAnew || !this.#isHeld(state, held)) {
      return this.#found(key, entry, state, undefined);
    }
    return this.#compareAndSet(key, entry, plan, state.token);
  }

  async #compareAndSet(
    key: Key,
    entry: Entry | undefined,
    plan: Plan,
    expected: bigint | "missing",
  ): Promise<Written> {
    const { connector, stats, dots, unknownWrites } = this.#parts;
    if (!dots.mayDraw) await dots.ready();
    const wanted = plan.write === "put" ? plan.wanted : undefined;
    // By whichever listener: one that was registered since tells of later writes alone.
    const isSeen = (entry?.held?.seenBy ?? 0) > 0;
    // Its event would read as a client's remove where the key waits for a copy, or does by the time that the event comes.
    const told =
      plan.write === "remove" && (plan.presence === "absent" || isSeen)
        ? unknownWrites.add(key, expected, undefined, isSeen)
        : undefined;
    try {
      const outcome =
        wanted?.value !== undefined
          ? await connector.write(key, expected, wanted.value, this.#relative(wanted))
          : expected === "missing"
            ? "done"
            : await connector.remove(key, expected);
      if (outcome === "done") return { end: "done", token: undefined };
      stats.lostRaces += 1;
      if (told !== undefined) unknownWrites.refused(key, told);
    } catch (error) {
      if (!isOutcomeUnknown(error)) throw error;
      stats.unknownOutcomes += 1;
      if (told === undefined) unknownWrites.add(key, expected, wanted, isSeen);
      else unknownWrites.unanswered(key, told);
      const state = await connector.read(key);
      if (state !== undefined && expected === state.token) throw error;
      return this.#found(key, entry, state, plan);
    }
    // What is found may be this very write, from an earlier attempt that got no answer.
    return this.#found(key, entry, await connector.read(key), plan);
  }

  /** Relative times for the wire: what is left of the lifespan, at least 1 ms. */
  #relative({ expiresAt, maxIdleMs }: Wanted): { lifespanMs: number; maxIdleMs: number } {
    const left = expiresAt === 0 ? 0 : Math.max(1, Math.ceil(expiresAt - this.#parts.clock.now()));
    return { lifespanMs: left, maxIdleMs };
  }

  /**
   * The cache holds something else than the ledger says. Decides what it is, and stages it against the row as it was before
   * the join.
   *
   * @param intent the write that was not done now, if that is why the key was read
   */
  async #found(
    key: Key,
    entry: Entry | undefined,
    state: CacheState | undefined,
    intent: Plan | undefined,
  ): Promise<Written> {
    const { stats, changes, rows, hash, ledger, dirty, listener, dots, past } = this.#parts;
    const found = state === undefined ? "" : hash(state.value);
    // A replica that lags, of which a write without an answer explains as little as of anything else that is over.
    if (state !== undefined && past.hadToken(key, state, found)) return AGAIN;
    const isUnseen = entry?.presence === "live" && entry.held?.seenBy !== listener();
    const isEarly = state === undefined && isUnseen && past.has(key, undefined, "");
    if (isEarly && this.#recovered === undefined) return AGAIN;
    const gone = found || expiredHash(dirty.newest(key));
    const made = this.#parts.unknownWrites.explain(key, state, gone, entry?.held);
    const isOurs = made !== undefined;
    if (isOurs) stats.intentsMatched += 1;
    if (state === undefined) {
      if (made?.wanted === undefined && isOurs && intent?.write === "remove")
        return { end: "done", token: undefined };
      if (isOurs) rows.put(key, this.adopted(entry, undefined, ""));
      else await this.#foundMissing(key, entry);
      return AGAIN;
    }
    if (isOurs && intent?.write === "put" && intent.wanted.hash === found) {
      if (sameExpiry(state, intent.wanted)) return { end: "done", token: state.token };
    }
    const held = entry?.presence === "live" ? entry.held : undefined;
    // A replica that lags: the very state that the ledger has.
    if (held?.token !== undefined && held.token === state.token && held.hash === found)
      return AGAIN;
    if (held?.hash === found && sameExpiry(state, held)) {
      if (held.token === undefined) return AGAIN;
      if (entry !== undefined && state.token === 0n) {
        // A write without a token put the same again: only the token is news.
        rows.put(key, { ...entry, held: { ...held, token: 0n, seenBy: 0 } });
        return AGAIN;
      }
    }
    if (!isOurs && past.has(key, state, found)) return AGAIN;
    if (isOurs || this.#recovered?.get(key)?.has(found) === true) {
      if (!isOurs) stats.intentsMatched += 1;
      rows.put(key, this.adopted(entry, state, found));
      return AGAIN;
    }
    const told = dirty.newest(key);
    // Under invalidate what came behind a load is a change.
    const isLater =
      this.#parts.invalidate && told?.token !== undefined && told.token !== state.token;
    if (!isLater && isKnownCopy(entry, found, told, this.#parts.invalidate)) {
      rows.put(key, this.adopted(entry, state, found));
      return AGAIN;
    }
    await dots.ready();
    past.replaced(key, entry?.held);
    const mark = dirty.newest(key);
    const seenBy = mark?.token === state.token ? Math.max(0, listener()) : 0;
    const isUnheard = mark === undefined || mark.cause === "scan";
    const at = isUnheard ? dateOf(state, this.#parts.unseenSince()) : undefined;
    changes.put(key, entry, state, found, { at, seenBy, isUnheard });
    await ledger.commit();
    return AGAIN;
  }

  /** The row of a key whose present state an earlier write of ours made: what is applied next starts from it. */
  adopted(entry: Entry | undefined, state: CacheState | undefined, hash: ValueHash): Entry {
    const base = entry ?? { context: this.#parts.floor(), siblings: [], outboxSeq: 0 };
    if (state === undefined) return { ...base, presence: "absent", held: undefined };
    const { token, expiresAt, maxIdleMs } = state;
    return { ...base, presence: "live", held: { hash, token, seenBy: 0, expiresAt, maxIdleMs } };
  }

  /** The key is gone. A remove only if an event says so; else expired, or without a copy for a reason nobody told. */
  async #foundMissing(key: Key, entry: Entry | undefined): Promise<void> {
    const { dirty, clock, changes, rows, ledger, stats, dots, past } = this.#parts;
    const { expirySlackMs, asksPeers, onIdle } = this.#parts;
    if (entry === undefined || entry.presence !== "live") return;
    const recovered = this.#recovered?.get(key);
    // A recovery has no listener yet: nobody will tell of what happened before it.
    const mark = recovered ? dirty.newest(key) : await this.#reason(key);
    const end = endOf(entry, mark?.cause, { now: clock.now(), expirySlackMs, asksPeers });
    if (recovered?.has("") === false && end === undefined && !this.#parts.invalidate) {
      // A client removed it while nobody listened, or the cache lost it: to apply now would undo the remove (I3).
      this.#left.add(key);
      return;
    }
    const isTold = mark?.cause === "removed" || mark?.cause === "expired" || end !== undefined;
    if (!isTold && recovered === undefined && this.#parts.unseenSince() !== undefined) {
      // A client may have removed it while nobody listened: what arrives now must not undo that (I3).
      throw new IsthmusError(
        ErrorCode.ApplyRaced,
        "a key is missing while changes may have been missed: a scan says first why",
        { hint: "It is tried again by itself, when the gap is closed." },
      );
    }
    past.replaced(key, entry.held);
    if (mark?.cause === "removed" || (mark?.cause === "expired" && end === undefined)) {
      await dots.ready();
      changes.remove(key, entry, mark.gapStart);
    } else {
      if (end === "expired") stats.expired += 1;
      else if (end === "idle") onIdle(key);
      else stats.absences += 1;
      const presence = end === "expired" ? "tombstone" : "absent";
      rows.put(key, { ...entry, presence, held: undefined });
    }
    await ledger.commit();
  }

  /** What explains an absence: its event may be known to a capture that waits for the key's lock, or still be under way. */
  async #reason(key: Key): Promise<Mark | undefined> {
    const { dirty, clock } = this.#parts;
    const isReason = ({ cause }: Mark): boolean => cause === "removed" || cause === "expired";
    const known = dirty.newest(key);
    if (known !== undefined && isReason(known)) return known;
    await new Promise<void>((resolve) => {
      let stop = (): void => undefined;
      const cancel = clock.after(LAGGING_READ_MS_MAX, () => {
        stop();
        resolve();
      });
      const wait = (): void => {
        stop = dirty.awaitMark(key, (mark) => {
          if (!isReason(mark)) return wait();
          cancel();
          resolve();
        });
      };
      wait();
    });
    return dirty.newest(key);
  }
}

/** Whether something is lost by showing one of several versions: of equal ones nothing is. */
function isConflict([first, ...others]: readonly Sibling[]): boolean {
  return others.some((s) => s.hash !== first?.hash || !sameExpiry(s, first));
}

function isOutcomeUnknown(error: unknown): boolean {
  return (
    error instanceof IsthmusError &&
    (error.code === ErrorCode.HotRodTimeout ||
      error.code === ErrorCode.HotRodServer ||
      error.code === ErrorCode.CacheUnreachable)
  );
}

function sameVersions(a: Versions | undefined, b: Versions | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return sameSiblings(a.siblings, b.siblings) && equalContexts(a.context, b.context);
}

function isSameVersion(a: Sibling, b: Sibling | undefined): boolean {
  return b !== undefined && a.author === b.author && a.dot === b.dot;
}
