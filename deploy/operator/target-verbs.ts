import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { PAUSE_WAIT_MS } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import { policyOf } from "../../topology/policy/cache-policy.ts";
import { Question, serveVerb } from "../../gateway/control/operator-channel.ts";
import type { OfflineMark } from "../../gateway/status/offline-rule.ts";
import type { HandledCache } from "../site/handled-cache.ts";
import type { Site } from "../site/site.ts";

/** Answer of `pause` and `resume`. */
export interface PauseAnswer {
  readonly site: SiteName;
  readonly cache: CacheName;
  /** False: it was so already. */
  readonly changed: boolean;
  /** Since when it is paused, ms since the epoch; null: it is not. */
  readonly pausedSince: number | null;
  /** Mutations that were begun before the pause and are not applied yet. */
  readonly begun: number;
}

/** Answer of `offline` and `online`: what the answering site does with the target, one row a cache. */
export interface TargetAnswer {
  readonly site: SiteName;
  readonly caches: ReadonlyArray<{
    readonly cache: CacheName;
    /** False: it was so already. */
    readonly changed: boolean;
    /** `returning`: online once it is level. */
    readonly state: "online" | "returning" | "offline";
    /** What it lacks to be level; null: nothing. */
    readonly lacks: string | null;
    /** Changes that it has not confirmed. */
    readonly atRisk: number;
  }>;
}

/** Between two looks whether all that was begun is applied, ms. */
const LOOK_MS = 20;

/** What one site answers to `pause`, `resume`, `offline` and `online`. */
export class TargetVerbs {
  readonly #site: Site;

  constructor(site: Site) {
    this.#site = site;
  }

  /** Answers until the returned function is called. */
  serve(): () => void {
    const { name, ports } = this.#site;
    const verbs: Readonly<Record<string, (question: Question) => Promise<object>>> = {
      pause: (question) => this.pause(question.text("cache")),
      resume: (question) => this.resume(question.text("cache")),
      offline: (question) => this.offline(question.text("target"), question.textOrNull("cache")),
      online: (question) => this.online(question.text("target"), question.textOrNull("cache")),
    };
    const ends = Object.entries(verbs).map(([verb, answer]) =>
      serveVerb(ports.bus, name, verb, async (question) => answer(new Question(question))),
    );
    return () => {
      for (const end of ends) end();
    };
  }

  /** Pauses a cache here; waits a moment for what was begun. @throws OperationRefused */
  async pause(cache: CacheName): Promise<PauseAnswer> {
    const { clock } = this.#site.ports;
    const handled = this.#handled(cache);
    const changed = await handled.pause.begin();
    const end = clock.monotonic() + PAUSE_WAIT_MS;
    while (begunOf(handled) > 0 && clock.monotonic() < end) await clock.sleep(LOOK_MS);
    for (const receiver of handled.receivers) await receiver.rest();
    return this.#paused(handled, changed);
  }

  /** @throws OperationRefused */
  async resume(cache: CacheName): Promise<PauseAnswer> {
    const handled = this.#handled(cache);
    return this.#paused(handled, await handled.pause.end());
  }

  /** This site waits for a target no more. @throws OperationRefused */
  async offline(target: SiteName, cache: CacheName | undefined): Promise<TargetAnswer> {
    const found = this.#toTarget(target, cache);
    const changed = found.map(({ targets }) => targets.take(target));
    await this.#site.ports.ledger.sync();
    return this.#answer(found, target, changed);
  }

  /** A target counts again, as soon as it is level. @throws OperationRefused */
  async online(target: SiteName, cache: CacheName | undefined): Promise<TargetAnswer> {
    const found = this.#toTarget(target, cache);
    const changed = found.map(({ targets }) => targets.release(target));
    await this.#site.ports.ledger.sync();
    return this.#answer(found, target, changed);
  }

  #answer(
    caches: readonly HandledCache[],
    target: SiteName,
    changed: readonly boolean[],
  ): TargetAnswer {
    const rows = caches.map(({ name, targets, unconfirmed, agent }, i) => {
      const mark = targets.mark(target);
      const sent = unconfirmed.get(target)?.atRisk().mutations ?? 0;
      return {
        cache: name,
        changed: changed[i] ?? false,
        state: stateOf(mark),
        lacks: targets.lacks(target) ?? null,
        atRisk: sent + (agent?.outboxRows ?? 0),
      };
    });
    return { site: this.#site.name, caches: rows };
  }

  #paused(handled: HandledCache, changed: boolean): PauseAnswer {
    const { name: cache, pause } = handled;
    const pausedSince = pause.since ?? null;
    return { site: this.#site.name, cache, changed, pausedSince, begun: begunOf(handled) };
  }

  /** The caches of this site whose changes go to the target. */
  #toTarget(target: SiteName, cache: CacheName | undefined): HandledCache[] {
    const { name, peers, caches } = this.#site;
    if (target === name) throw refused(`${name} is no target of its own`);
    if (!peers.includes(target)) throw refused(`${name} has no peer ${target}`);
    if (cache === undefined)
      return [...caches.values()].filter(({ targets }) => targets.has(target));
    const handled = this.#handled(cache);
    // The policy sends nothing that way: there is nobody to wait for.
    return handled.targets.has(target) ? [handled] : [];
  }

  #handled(cache: CacheName): HandledCache {
    const { name, caches, config } = this.#site;
    const handled = caches.get(cache);
    if (handled?.agent !== undefined) return handled;
    const { mode, reason } = policyOf(config, cache);
    if (mode === "off" || mode === "never")
      throw refused(`${name} does not handle cache ${cache}: its mode is ${mode} (${reason})`);
    throw refused(`${name} has no cache ${cache}`);
  }
}

const stateOf = (mark: OfflineMark | undefined): "online" | "returning" | "offline" => {
  if (mark === undefined) return "online";
  return mark.isReturning ? "returning" : "offline";
};

const begunOf = ({ receivers }: HandledCache): number =>
  receivers.reduce((sum, receiver) => sum + receiver.begun, 0);

const refused = (why: string): IsthmusError =>
  new IsthmusError(ErrorCode.OperationRefused, why, {
    hint: "isthmus caches shows every cache of the file, and its mode.",
  });
