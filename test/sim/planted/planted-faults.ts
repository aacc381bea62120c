import type { Fault } from "../world/profile.ts";

/** A bug put into a copy of the source: one text of one file replaced by another. White space in `text` stands for any. */
export interface PlantedFault {
  readonly what: string;
  readonly file: string;
  readonly text: string;
  readonly instead: string;
  /** The kinds of fault that bring it out; none: a calm world does. */
  readonly faults: readonly Fault[];
  /** Kind of the second cache, where it takes one. */
  readonly kind?: "invalidate" | "evicts" | "idle";
  /** Writers come through front doors. */
  readonly door?: true;
}

/** Bugs that somebody could well make; each breaks a promise that the checkers must notice. */
export const PLANTED: readonly PlantedFault[] = [
  {
    what: "an arriving version replaces the row without being joined",
    file: "topology/version/join.ts",
    text: "const survivors = (entry?.siblings ?? []).filter((s) => !covers(superseding, s.author, s.dot));",
    instead: "const survivors: Sibling[] = [];",
    faults: ["linkCut"],
  },
  {
    what: "an arriving version supersedes nothing",
    file: "topology/version/join.ts",
    text: "(entry?.siblings ?? []).filter((s) => !covers(superseding, s.author, s.dot))",
    instead: "(entry?.siblings ?? []).filter((s) => s.author !== sibling.author)",
    faults: [],
  },
  {
    what: "only the winner is kept of concurrent versions",
    file: "site-agent/apply/applier.ts",
    text: "return { versions: withKeptValues(complete, keep), shows, keep, isKnown };",
    instead:
      'const winners = complete.siblings.filter((s) => shows === undefined || ("dot" in shows && s.dot === shows.dot)); return { versions: withKeptValues({ context: complete.context, siblings: winners }, keep), shows, keep, isKnown };',
    faults: ["linkCut"],
  },
  {
    what: "the position moves before the entries are committed",
    file: "gateway/receive/receiver.ts",
    text: "const offsetMs = batch.header.offsets.get",
    instead:
      "this.#parts.positions.set(this.origin, this.cache, { ...this.#parts.positions.get(this.origin, this.cache), seq: message.seq, incarnation: batch.header.incarnation }); const offsetMs = batch.header.offsets.get",
    faults: ["kill"],
  },
  {
    what: "an apply starts without its bound on disk",
    file: "gateway/receive/receiver.ts",
    text: "positions.setBound(origin, cache, bound);",
    instead: "positions.setBound(origin, cache, 0);",
    faults: ["kill", "cacheTimeout"],
  },
  {
    what: "an absence without a reason is a remove",
    file: "site-agent/tail/absences.ts",
    text: 'if (cacheRestarted) return { verdict: "absent", reason: "the cache was restarted" };',
    instead:
      'if (cacheRestarted) return { verdict: "removed", reason: "the cache was restarted" };',
    faults: ["cacheRestart"],
  },
  {
    what: "a remove that a copy of the key undid is forgotten",
    file: "site-agent/tail/capture.ts",
    text: "if (!isCopy || mark.afterRemove !== true ||",
    instead: "if (copies !== undefined || !isCopy || mark.afterRemove !== true ||",
    faults: ["cacheRestart", "clientFirst"],
  },
  {
    what: "a key that waited for its lock is looked at for what was reported first",
    file: "site-agent/tail/capture.ts",
    text: "const mark = dirty.latest(key, taken);",
    instead: "const mark = taken;",
    faults: ["laggingRead", "clientFirst"],
  },
  {
    what: "what was evicted counts as removed",
    file: "site-agent/tail/absences.ts",
    text: 'if (evicts) return { verdict: "absent", reason: "the cache evicts" };',
    instead: "",
    faults: ["evict", "listenerLoss"],
    kind: "evicts",
  },
  {
    what: "a bare read makes a remove",
    file: "site-agent/tail/judge.ts",
    text: 'return mark.cause === "scan" && !isPast ? { is: "absence" } : { is: "unsettled" };',
    instead: 'return { is: "remove" };',
    faults: ["cacheRestart"],
  },
  {
    what: "an echo is published",
    file: "site-agent/tail/judge.ts",
    text: "if (held.token === undefined && equalState) return",
    instead: "if (held.token === undefined && equalState && seenBy < 0) return",
    faults: ["listenerLoss"],
  },
  {
    what: "any state is taken for the echo of an apply",
    file: "site-agent/tail/judge.ts",
    text: "if (held.token === undefined && equalState) return",
    instead: "if (held.token === undefined) return",
    faults: ["listenerLoss"],
  },
  {
    what: "any event is taken for the echo of an apply",
    file: "site-agent/tail/judge.ts",
    text: "mark.hash === held.hash",
    instead: "mark.hash !== undefined",
    faults: [],
  },
  {
    what: "what is captured says that its writer had seen nothing",
    file: "site-agent/local-changes.ts",
    text: "isBeside ? EMPTY_CONTEXT : (before?.context ?? floor);",
    instead: "isBeside ? EMPTY_CONTEXT : floor;",
    faults: [],
  },
  {
    what: "a dot is drawn twice",
    file: "site-agent/local-changes.ts",
    text: "const dot = dots.next();",
    instead: "const dot = (dots.next() >> 22n) << 22n;",
    faults: [],
  },
  {
    what: "rows leave the outbox before they are published",
    file: "site-agent/tail/publisher.ts",
    text: "const ack = await log.publish(",
    instead: "rows.acknowledge(this.#frozen); const ack = await log.publish(",
    faults: ["kill", "publishTimeout"],
  },
  {
    what: "an unclean start recovers nothing",
    file: "deploy/site/recovery.ts",
    text: "if (from === undefined) return;",
    instead: "if (from !== undefined) return;",
    faults: ["kill"],
  },
  {
    what: "recovery knows none of the states that an apply left",
    file: "site-agent/apply/applier.ts",
    text: "this.#recovered = known;",
    instead: "this.#recovered = new Map();",
    faults: ["kill", "cacheTimeout"],
  },
  {
    what: "recovery forgets what was published without being committed",
    file: "site-agent/cache-agent.ts",
    text: "for (const [key, versions] of published) {",
    instead: "for (const [key, versions] of [...published].slice(0, 0)) {",
    faults: ["powerCut"],
  },
  {
    what: "a row that is right is not looked at while changes may have been missed",
    file: "site-agent/apply/applier.ts",
    text: "if (isRight && unseenSince() === undefined)",
    instead: "if (isRight)",
    faults: ["kill"],
  },
  {
    what: "a write without an answer was not done",
    file: "site-agent/apply/applier.ts",
    text: "if (!isOutcomeUnknown(error)) throw error;",
    instead: "if (isOutcomeUnknown(error) || !isOutcomeUnknown(error)) throw error;",
    faults: ["cacheError"],
  },
  {
    what: "capture and apply of one key do not exclude each other",
    file: "site-agent/key-locks.ts",
    text: "if (this.#held.has(key)) return false;",
    instead: "",
    faults: [],
  },
  {
    what: "a lost listener is no gap",
    file: "site-agent/cache-agent.ts",
    text: "this.openGap(`listener lost: ${lost}`);",
    instead: "",
    faults: ["listenerLoss"],
  },
  {
    what: "a key that was marked while it was read is not read again",
    file: "site-agent/tail/dirty-keys.ts",
    text: "if (this.#marks.has(key)) this.#enqueue(key);",
    instead: "",
    faults: [],
  },
  {
    what: "invalidation leaves the copy where it is",
    file: "site-agent/apply/plan.ts",
    text: "if (options.invalidate) return withoutCopy(entry);",
    instead:
      'if (options.invalidate) return { write: "none", presence: entry?.presence ?? "absent" };',
    faults: [],
    kind: "invalidate",
  },
  {
    what: "what a peer offers of an absent key is not taken",
    file: "gateway/resync/fetch-absent.ts",
    text: "hands.merge(inOurClock(entry, offsetMs(peer)))",
    instead: "inOurClock(entry, offsetMs(peer))",
    faults: ["cacheRestart"],
  },
  {
    what: "the last byte of a value is cut off",
    file: "gateway/receive/receiver.ts",
    text: "return value === undefined ? version : { ...version, value };",
    instead: "return value === undefined ? version : { ...version, value: value.subarray(1) };",
    faults: [],
  },
  {
    what: "a lifespan is ten seconds too long",
    file: "site-agent/apply/applier.ts",
    text: "Math.ceil(expiresAt - this.#parts.clock.now())",
    instead: "Math.ceil(expiresAt - this.#parts.clock.now() + 10_000)",
    faults: [],
  },
  {
    what: "an expired put is a remove for every site",
    file: "site-agent/tail/capture.ts",
    text: 'rows.put(key, { ...entry, presence: "tombstone", held: undefined });',
    instead: "changes.remove(key, entry, mark.gapStart);",
    faults: [],
  },
  {
    what: "a write is answered when its batch is stored",
    file: "gateway/status/confirmations.ts",
    text: "if (!contains(applied, first.seq, last.seq)) return;",
    instead: "",
    faults: [],
    door: true,
  },
  {
    what: "a write is answered by rows of which the last is there",
    file: "gateway/status/confirmations.ts",
    text: "return { first: above + 1 === upTo ? last : this.#batchOf(above + 1), last };",
    instead: "return { first: last, last };",
    faults: [],
    door: true,
  },
  {
    what: "a row that was replaced counts for those who wait for it",
    file: "site-agent/local-changes.ts",
    text: "if (replaces !== undefined) this.onReplaced?.(replaces, outboxSeq);",
    instead: "",
    faults: [],
    door: true,
  },
  {
    what: "a lost listener is forgotten by those who wait for a write",
    file: "site-agent/tail/captured-writes.ts",
    text: "    this.#listener = listener;\n    this.mayHaveMissed();",
    instead: "    this.#listener = listener;",
    faults: ["listenerLoss", "cacheRestart"],
    door: true,
  },
  {
    what: "a write is answered before its event was heard",
    file: "site-agent/tail/captured-writes.ts",
    text: "      await this.#flushed();",
    instead: "",
    faults: [],
    door: true,
  },
];
