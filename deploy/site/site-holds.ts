import type { WriteEffect } from "../../topology/hotrod/write-effect.ts";
import { localName } from "../../topology/policy/cache-policy.ts";
import type { HeldWrite, KeyUse, WriteHolds } from "../../site-agent/front-door/write-holds.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/** What a site's front door asks about the caches that its clients name. */
export class SiteHolds implements WriteHolds {
  readonly #site: Site;
  /** By local name; made anew when a cache was added. */
  #byLocalName = new Map<string, HandledCache>();

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
    const cache = this.#of(name);
    // Who writes to it may just have made it.
    if (cache?.isMissing === true) cache.agent?.pauses.end();
    const isLocal = effect.keys?.every((key) => cache?.isLocalKey(key.toString("latin1")) === true);
    return isLocal === true ? undefined : cache?.hold?.begin(effect);
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
