import { ErrorCode } from "../../topology/errors.ts";
import { LEVEL_LAG_MS, PEER_SILENT_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { BeatContent, CacheTrouble } from "../../gateway/link/heartbeat.ts";
import {
  judgeTarget,
  type OfflineMark,
  type TargetSight,
} from "../../gateway/status/offline-rule.ts";
import { NOTHING_ASIDE } from "../../gateway/receive/position-tracker.ts";
import { dataAtRisk } from "./data-at-risk.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

interface Seen {
  /** Heartbeats in a row that said that the cache cannot be used there. */
  failures: number;
  /** Since when it is heard and level, monotonic ms; undefined: it is not. */
  levelSince: number | undefined;
}

/** A later release may know more of them. */
const troubleText = (trouble: CacheTrouble | undefined): string => {
  if (trouble === "paused") return "it is paused there";
  if (trouble === "blocked") return "its cache cannot be used there";
  return "its cache is being scanned there";
};

/**
 * Which targets of one cache's changes count: one that an operator or the take-offline rule took offline is waited for by
 * nobody, until it is level and without a gap again. Facts of the ledger, so that a restart keeps them.
 */
export class Targets {
  readonly #site: Site;
  readonly #cache: HandledCache;
  readonly #marks = new Map<SiteName, OfflineMark>();
  readonly #seen = new Map<SiteName, Seen>();

  constructor(site: Site, cache: HandledCache, targets: readonly SiteName[]) {
    this.#site = site;
    this.#cache = cache;
    for (const target of targets) {
      this.#seen.set(target, { failures: 0, levelSince: undefined });
      const mark = site.ports.ledger.fact(this.#fact(target)) as OfflineMark | undefined;
      if (mark !== undefined) this.#marks.set(target, mark);
    }
  }

  has(target: SiteName): boolean {
    return this.#seen.has(target);
  }

  /** undefined: the target is online. */
  mark(target: SiteName): OfflineMark | undefined {
    return this.#marks.get(target);
  }

  /** A heartbeat of a target came. */
  heard(target: SiteName, { applied, troubles }: BeatContent): void {
    const seen = this.#seen.get(target);
    if (seen === undefined) return;
    const { name } = this.#cache;
    seen.failures = troubles?.[name] === "blocked" ? seen.failures + 1 : 0;
    // Positions come on a subject of their own too; one that was lost on the way is made up for here.
    const position = applied[this.#site.name]?.[name];
    if (position !== undefined) {
      const { incarnation, seq, aside } = position;
      this.#cache.confirmed(target, {
        cache: name,
        incarnation,
        seq,
        ranges: [],
        aside: aside ?? NOTHING_ASIDE,
      });
    }
  }

  /** An operator takes a target offline. Staged. False: an operator had already. */
  take(target: SiteName): boolean {
    const known = this.#marks.get(target);
    if (known?.by === "operator" && !known.isReturning) return false;
    const since = known?.since ?? this.#site.ports.clock.now();
    this.#set(target, { by: "operator", why: "by an operator", since, isReturning: false });
    return true;
  }

  /** An operator lets a target count again, once it is level and without a gap. Staged. False: it is online. */
  release(target: SiteName): boolean {
    const known = this.#marks.get(target);
    if (known === undefined) return false;
    this.#set(target, { ...known, by: "operator", isReturning: true });
    this.#judge(target);
    return true;
  }

  /** Looks at every target by the rule; to be called now and then. Staged. */
  step(): void {
    for (const target of this.#seen.keys()) this.#judge(target);
  }

  /** What a target lacks to be level; undefined: nothing. */
  lacks(target: SiteName): string | undefined {
    const { heartbeat, name, ports } = this.#site;
    const content = heartbeat.last(target)?.beat.content;
    if (content === undefined) return "it was not heard since this process started";
    if (heartbeat.silenceMs(target) > PEER_SILENT_MS) return "no heartbeat comes";
    const cache = this.#cache.name;
    const trouble = content.troubles?.[cache];
    if (trouble !== undefined) return troubleText(trouble);
    if (content.applied[name]?.[cache]?.gap === true) return "it has a gap toward this site";
    const { oldestAt, mutations, isAtLeast } = dataAtRisk(this.#site, this.#cache, target);
    if (isAtLeast) return "it has not confirmed what an earlier run sent";
    const isLate = oldestAt !== undefined && ports.clock.now() - oldestAt > LEVEL_LAG_MS;
    return isLate ? `it has not confirmed ${mutations} changes` : undefined;
  }

  #judge(target: SiteName): void {
    const seen = this.#seen.get(target);
    if (seen === undefined) return;
    const { config, ports } = this.#site;
    const mark = this.#marks.get(target);
    const verdict = judgeTarget(mark, this.#sight(target, seen), config.limits.takeOffline);
    if (verdict?.is === "take") {
      const { why } = verdict;
      this.#set(target, { by: "rule", why, since: ports.clock.now(), isReturning: true });
    } else if (verdict?.is === "return") this.#set(target, undefined);
  }

  #sight(target: SiteName, seen: Seen): TargetSight {
    const { heartbeat, startedAt, ports } = this.#site;
    const now = ports.clock.monotonic();
    const lacks = this.lacks(target);
    seen.levelSince = lacks === undefined ? (seen.levelSince ?? now) : undefined;
    return {
      silenceMs: Math.min(heartbeat.silenceMs(target), now - startedAt),
      failures: seen.failures,
      lacks,
      levelMs: seen.levelSince === undefined ? 0 : now - seen.levelSince,
    };
  }

  #set(target: SiteName, mark: OfflineMark | undefined): void {
    const { ledger, logger } = this.#site.ports;
    const wasOffline = this.#marks.has(target);
    if (mark === undefined) this.#marks.delete(target);
    else this.#marks.set(target, mark);
    ledger.setFact(this.#fact(target), mark);
    const about = { target, cache: this.#cache.name };
    if (mark === undefined) logger.info(about, "a target is online again: it is level");
    else if (!wasOffline)
      logger.error(
        { ...about, why: mark.why, code: ErrorCode.TargetOffline },
        "a target is offline: nobody waits for it, it applies what it can",
      );
  }

  #fact(target: SiteName): string {
    return `offline/${this.#cache.name}/${target}`;
  }
}
