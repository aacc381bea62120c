import type { WriteEffect } from "../../topology/hotrod/write-effect.ts";
import { PREPARED_MAX } from "../../topology/limits.ts";
import { localName } from "../../topology/policy/cache-policy.ts";
import type { HeldWrite, KeyUse, WriteHolds } from "../../site-agent/front-door/write-holds.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/** What a site's front door asks about the caches that its clients name. */
export class SiteHolds implements WriteHolds {
  readonly #site: Site;
  /** By local name; made anew when a cache was added. */
  #byLocalName = new Map<string, HandledCache>();
  /** Transactions that were prepared, the oldest first, each with those of its caches that are known. */
  readonly #prepared = new Map<string, Set<HandledCache>>();

  constructor(site: Site) {
    this.#site = site;
  }

  replicates(name: string): boolean {
    return this.#of(name)?.agent !== undefined;
  }

  use(name: string, { keys }: WriteEffect): KeyUse | undefined {
    const key = keys?.[0]?.toString("latin1");
    if (key === undefined) return undefined;
    const cache = this.#of(name);
    return cache?.isLocalKey(key) === true ? undefined : cache?.singleUse?.use(key);
  }

  begin(name: string, effect: WriteEffect): HeldWrite | undefined {
    if (effect.commits !== undefined) return this.#commit(effect.commits, effect);
    const cache = this.#of(name);
    if (effect.prepares !== undefined) this.#prepare(effect.prepares, cache);
    // Who writes to it may just have made it.
    if (cache?.isMissing === true) cache.agent?.pauses.end();
    const isLocal = effect.keys?.every((key) => cache?.isLocalKey(key.toString("latin1")) === true);
    return isLocal === true ? undefined : cache?.hold?.begin(effect);
  }

  #prepare(transaction: string, cache: HandledCache | undefined): void {
    const caches = this.#prepared.get(transaction) ?? new Set();
    this.#prepared.set(transaction, cache === undefined ? caches : caches.add(cache));
    if (this.#prepared.size <= PREPARED_MAX) return;
    const [oldest] = this.#prepared.keys();
    if (oldest !== undefined) this.#prepared.delete(oldest);
  }

  /** Where nobody remembers the caches, it may be any of them. */
  #commit(transaction: string, effect: WriteEffect): HeldWrite | undefined {
    const caches = this.#prepared.get(transaction) ?? this.#site.caches.values();
    return together([...caches].flatMap(({ hold }) => hold?.begin(effect) ?? []));
  }

  #of(name: string): HandledCache | undefined {
    const { caches, name: site } = this.#site;
    if (this.#byLocalName.size !== caches.size)
      this.#byLocalName = new Map(
        [...caches.values()].map((cache) => [localName(cache.policy, site), cache]),
      );
    return this.#byLocalName.get(name);
  }
}

/** Waits for all of them; one that failed fails all. */
function together(holds: readonly HeldWrite[]): HeldWrite | undefined {
  if (holds.length === 0) return undefined;
  const open = new Set(holds);
  return {
    done: (onEnd) => {
      let failure: string | undefined;
      for (const hold of holds)
        hold.done((end) => {
          failure ??= end;
          open.delete(hold);
          if (open.size === 0) onEnd(failure);
        });
    },
    drop: () => {
      for (const hold of open) hold.drop();
    },
  };
}
