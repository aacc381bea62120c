import { ErrorCode } from "../../topology/errors.ts";
import type { WriteEffect } from "../../topology/hotrod/write-effect.ts";
import { HOLD_RETURN_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import { type Confirmation, Confirmations } from "../../gateway/status/confirmations.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { WriteBegun } from "../../site-agent/tail/captured-writes.ts";
import type { HeldWrite, HoldEnd } from "../../site-agent/front-door/write-holds.ts";
import { dataAtRisk } from "./data-at-risk.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/** What became of the writes of one cache that came through the front door, since the process started. */
export interface HoldStats {
  /** Answered when every target had them. */
  confirmed: number;
  /** Answered although a target had not confirmed them in time. */
  degraded: number;
  /** Answered as failed. */
  failed: number;
  /** Answered at once: no target was to be waited for. */
  unheld: number;
  /** Of those that were confirmed: from the request to the answer. */
  holdMsSum: number;
  holdMsMax: number;
  /** How many of those times were within each of {@link HOLD_BOUNDS_MS}, and not within the one before; behind them those beyond. */
  readonly holdMsCounts: number[];
}

/** Of the histogram of holds: from a link within a town to the longest usual budget. */
export const HOLD_BOUNDS_MS: readonly number[] = [
  5, 10, 20, 35, 50, 60, 75, 100, 150, 250, 500, 1_000, 1_500, 2_500, 5_000,
];

/**
 * The rule by which the writers of one cache wait (design sections 3.10 and 6): until each target that is online has applied
 * the write, or what superseded it there, or for the budget. After a time-out under `degrade` nobody waits for that target
 * until it is level again; under `fail` the writer is told.
 */
export class CacheHold {
  readonly confirmations = new Confirmations();
  readonly stats: HoldStats = {
    confirmed: 0,
    degraded: 0,
    failed: 0,
    unheld: 0,
    holdMsSum: 0,
    holdMsMax: 0,
    holdMsCounts: Array.from({ length: HOLD_BOUNDS_MS.length + 1 }, () => 0),
  };
  readonly #site: Site;
  readonly #cache: HandledCache;
  readonly #agent: CacheAgent;
  readonly #targets: readonly SiteName[];
  /** Targets that nobody waits for since then, ms since the epoch. */
  readonly #degraded = new Map<SiteName, number>();
  #isFailing = false;

  constructor(
    site: Site,
    cache: HandledCache,
    parts: { readonly agent: CacheAgent; readonly targets: readonly SiteName[] },
  ) {
    this.#site = site;
    this.#cache = cache;
    this.#agent = parts.agent;
    this.#targets = parts.targets;
    parts.agent.writes.onReplaced((row, by) => this.confirmations.replaced(row, by));
  }

  /** Targets that nobody waits for until they are level again. */
  get degraded(): ReadonlyMap<SiteName, number> {
    return this.#degraded;
  }

  /**
   * No listener hears of writes right now: nobody could tell when one is captured. A cache that does not exist has no writers;
   * whoever is to make it may come through the front door.
   */
  get isDeaf(): boolean {
    return this.#agent.writes.listener === undefined && !this.#cache.isMissing;
  }

  /** Targets that no writer waits for right now: degraded ones, and those that are offline. */
  get notAwaited(): readonly SiteName[] {
    const awaited = new Set(this.#awaited());
    return this.#targets.filter((target) => !awaited.has(target));
  }

  /** Writes that wait, or whose request was forwarded. */
  get waiting(): number {
    return this.#agent.writes.waiting;
  }

  /** A write is about to be forwarded. */
  begin(effect: WriteEffect): HeldWrite {
    const { clock } = this.#site.ports;
    const { writes } = this.#agent;
    const keys = effect.keys?.map((key) => key.toString("latin1"));
    const [startedMs, begun] = [clock.monotonic(), writes.before(keys)];
    writes.waiting += 1;
    let stop = (): void => {
      writes.waiting -= 1;
    };
    return {
      done: (onEnd) => {
        const answered = stop;
        const ended = (end: HoldEnd): void => {
          answered();
          onEnd(end);
        };
        const tooLarge = this.#tooLarge(effect);
        if (tooLarge !== undefined) ended(this.#unsendable(tooLarge));
        else {
          const cancel = this.#wait({ keys, begun, startedMs }, ended);
          stop = () => {
            cancel();
            answered();
          };
        }
      },
      drop: () => stop(),
    };
  }

  /** Returns what stops the waiting; `onEnd` is not called after that. */
  #wait(
    write: { keys: readonly string[] | undefined; begun: WriteBegun; startedMs: number },
    onEnd: (end: HoldEnd) => void,
  ): () => void {
    const { clock } = this.#site.ports;
    const targets = this.#awaited();
    if (targets.length === 0) {
      onEnd(this.#nobodyAwaited());
      return () => undefined;
    }
    let confirmation: Confirmation | undefined;
    let isOver = false;
    const stop = (): void => {
      isOver = true;
      cancelTimeout();
      confirmation?.cancel();
    };
    const left = this.#cache.policy.timeoutMs - (clock.monotonic() - write.startedMs);
    const cancelTimeout = clock.after(Math.max(0, left), () => {
      stop();
      onEnd(this.#timedOut([...(confirmation?.missing ?? targets)]));
    });
    const ended = (refusedBy: SiteName | undefined): void => {
      stop();
      if (refusedBy === undefined) this.#confirmed(clock.monotonic() - write.startedMs);
      onEnd(refusedBy === undefined ? undefined : this.#refused(refusedBy));
    };
    const find = async (): Promise<void> => {
      const { writes } = this.#agent;
      await writes.captured(write.keys, write.begun, () => isOver);
      if (isOver) return;
      if (writes.mayBeUnsent(write.keys, write.begun)) {
        stop();
        onEnd(this.#unsendable());
        return;
      }
      const rows = writes.rowsOf(write.keys, write.begun);
      if (rows === undefined) ended(undefined);
      else confirmation = this.confirmations.wait(rows, targets, ended);
    };
    // The ledger failed: nobody can tell when the write is captured, and the budget ends the wait.
    find().catch(() => undefined);
    return stop;
  }

  #confirmed(holdMs: number): void {
    const { stats } = this;
    stats.confirmed += 1;
    stats.holdMsSum += holdMs;
    stats.holdMsMax = Math.max(stats.holdMsMax, holdMs);
    const within = HOLD_BOUNDS_MS.findIndex((bound) => holdMs <= bound);
    const at = within === -1 ? HOLD_BOUNDS_MS.length : within;
    stats.holdMsCounts[at] = (stats.holdMsCounts[at] ?? 0) + 1;
    this.#isFailing = false;
  }

  /** The targets that are online and not degraded. */
  #awaited(): SiteName[] {
    const { targets } = this.#cache;
    return this.#targets.filter(
      (target) => targets.mark(target) === undefined && !this.#degraded.has(target),
    );
  }

  /** What an operator took offline is not missed; what the rule did is, under `fail`. */
  #nobodyAwaited(): HoldEnd {
    const byRule = this.#targets.filter((t) => this.#cache.targets.mark(t)?.by === "rule");
    if (this.#cache.policy.onTimeout === "fail" && byRule.length > 0) {
      this.stats.failed += 1;
      return `${byRule.join(", ")} is offline, and no other site has the write; it stays at ${this.#site.name}`;
    }
    this.stats.unheld += 1;
    return undefined;
  }

  /** The target has set it aside, as a dead letter or because it may not have it: its own log and status say why. */
  #refused(target: SiteName): HoldEnd {
    return this.#notSent(`${target} set the write aside; it stays at ${this.#site.name}`);
  }

  #notSent(why: string): HoldEnd {
    if (this.#cache.policy.onTimeout === "degrade") {
      this.stats.degraded += 1;
      return undefined;
    }
    this.stats.failed += 1;
    return why;
  }

  #tooLarge({ valueBytes }: WriteEffect): number | undefined {
    return valueBytes > this.#site.config.limits.maxValueBytes ? valueBytes : undefined;
  }

  /** `bytes`: the client's own; the cache may have made more of them. */
  #unsendable(bytes?: number): HoldEnd {
    const most = this.#site.config.limits.maxValueBytes;
    const value = bytes === undefined ? "a value" : `a value of ${bytes} bytes`;
    return this.#notSent(
      `${value} in ${this.#cache.name} is above limits.maxValueBytes (${most}); it stays at ${this.#site.name}`,
    );
  }

  #timedOut(missing: readonly SiteName[]): HoldEnd {
    const { name: cache, policy } = this.#cache;
    const { logger, clock } = this.#site.ports;
    const { timeoutMs } = policy;
    const about = { cache, targets: missing, timeoutMs, code: ErrorCode.HoldTimeout };
    if (policy.onTimeout === "fail") {
      this.stats.failed += 1;
      if (!this.#isFailing)
        logger.error(
          about,
          "writers are told that their writes failed: targets do not confirm them",
        );
      this.#isFailing = true;
      return `${missing.join(", ")} did not confirm the write within ${timeoutMs} ms; it stays at ${this.#site.name}`;
    }
    this.stats.degraded += 1;
    const isNew = missing.some((target) => !this.#degraded.has(target));
    if (isNew)
      logger.error(about, "writers wait no longer for targets that do not confirm in time");
    if (this.#degraded.size === 0) this.#lookLater();
    for (const target of missing)
      if (!this.#degraded.has(target)) this.#degraded.set(target, clock.now());
    return undefined;
  }

  #lookLater(): void {
    this.#site.ports.clock.after(HOLD_RETURN_MS, () => {
      for (const [target, since] of this.#degraded)
        if (this.#isBack(target, since)) this.#return(target);
      if (this.#degraded.size > 0) this.#lookLater();
    });
  }

  /** Whether a target is level, and has confirmed all that it had not when its writers stopped waiting. */
  #isBack(target: SiteName, since: number): boolean {
    if (this.#cache.targets.lacks(target) !== undefined) return false;
    const { oldestAt } = dataAtRisk(this.#site, this.#cache, target);
    return oldestAt === undefined || oldestAt > since;
  }

  #return(target: SiteName): void {
    this.#degraded.delete(target);
    const { name: cache } = this.#cache;
    this.#site.ports.logger.info(
      { cache, target },
      "writers wait for the target again: it is level",
    );
  }
}
