import type { CacheHold } from "../../../deploy/site/cache-hold.ts";
import { cacheOf, floorOf, rowOf, Violation } from "./checkers.ts";
import { hashOf, type SimWorldParts } from "./sim-cache.ts";
import type { SimSite } from "./sim-site.ts";

/** A write that came through a front door. */
interface Write {
  readonly site: SimSite;
  readonly cache: string;
  readonly key: string;
  readonly hold: CacheHold;
  /** The newest dot of the site that the key had seen before. */
  readonly dotBefore: bigint;
  /** Of the entry that it put; undefined: a remove. */
  readonly token: bigint | undefined;
  readonly value: Buffer | undefined;
  /** Virtual ms. */
  readonly at: number;
  /** Of the site's next write to the key; undefined: there was none yet. */
  next: "after this had a version" | "before that" | undefined;
}

/**
 * Clients that write through the front doors of their sites, in a world of its own: the hold is real, what passes on the
 * connections is not there. Checks what they are told: a write that is answered as confirmed is at every target that was
 * waited for, or superseded there (I5); an answer comes within the budget (I10).
 */
export class HeldWriters {
  readonly #parts: SimWorldParts;
  readonly #site: (name: string) => SimSite;
  readonly #onFailure: (error: Error) => void;
  readonly #confirmed = new Map<CacheHold, number>();
  /** Site, cache and key to its writes that are not answered. */
  readonly #pending = new Map<string, Set<Write>>();
  /** When a site's ledger or cache lost something, virtual ms. */
  readonly #lostAt = new Map<string, number>();

  constructor(
    parts: SimWorldParts,
    site: (name: string) => SimSite,
    onFailure: (error: Error) => void,
  ) {
    this.#parts = parts;
    this.#site = site;
    this.#onFailure = onFailure;
  }

  /** What a site had confirmed may be gone there. */
  lost(site: string): void {
    this.#lostAt.set(site, this.#parts.time.now);
  }

  /** A client writes a key of a cache of its site, through the front door if one is open there. */
  through(
    site: SimSite,
    [cache, key]: readonly [cache: string, key: string],
    write: () => void,
    { isDirect }: { readonly isDirect: boolean },
  ): void {
    const { process } = site;
    const handled = site.site?.caches.get(cache);
    const dotBefore = ownDot(handled?.agent?.rows.get(key)?.context, site);
    const pending = this.#pendingOf(site, cache, key);
    for (const one of pending)
      one.next ??= dotBefore > one.dotBefore ? "after this had a version" : "before that";
    const hold = isDirect ? undefined : handled?.hold;
    if (process === undefined || handled?.agent === undefined || hold === undefined) {
      write();
      return;
    }
    const held = hold.begin({ keys: [Buffer.from(key, "latin1")], valueBytes: 0 });
    write();
    const { time, random, counts } = this.#parts;
    const stored = cacheOf(site, cache).peek(key);
    const { token, value } = stored ?? { token: undefined, value: undefined };
    const at = time.now;
    const begun: Write = { site, cache, key, hold, dotBefore, token, value, at, next: undefined };
    pending.add(begun);
    const { timeoutMs } = handled.policy;
    process.later(random.latency(2), () => {
      held.done((end) => {
        pending.delete(begun);
        const { stats } = hold;
        const isConfirmed = stats.confirmed > (this.#confirmed.get(hold) ?? 0);
        this.#confirmed.set(hold, stats.confirmed);
        if (end !== undefined) counts.add("path: held write failed");
        else if (isConfirmed) this.#answered(begun);
        else counts.add("path: held write not waited for any longer");
        // A process that was paused answers when it goes on.
        const waitedMs = time.now - begun.at;
        if (waitedMs > timeoutMs + 100 && site.process === process && !process.hasPaused)
          this.#fail(`${site.name}: a write to ${cache}/${key} waited ${waitedMs} ms (I10)`);
      });
    });
  }

  #answered(write: Write): void {
    const { site, cache, key, hold, dotBefore, token, value } = write;
    this.#parts.counts.add("path: held write confirmed");
    const handled = site.site?.caches.get(cache);
    if (handled?.agent === undefined) return;
    const row = handled.agent.rows.get(key);
    if (ownDot(row?.context, site) <= dotBefore) {
      this.#parts.counts.add("path: held write left nothing");
      const here = cacheOf(site, cache).peek(key);
      // The same bytes as a version that is known may be taken for it.
      const isKnown = value !== undefined && row?.held?.hash === hashOf(value);
      if (token !== undefined && here?.token === token && !isKnown)
        this.#fail(`${site.name} answered a write to ${cache}/${key} that it never captured (I5)`);
      return;
    }
    const passed = new Set(hold.notAwaited);
    for (const target of handled.unconfirmed.keys())
      if (!passed.has(target)) this.#look(write, this.#site(target));
  }

  #look({ site, cache, key, dotBefore, value, at, next }: Write, target: SimSite): void {
    if ((this.#lostAt.get(target.name) ?? -1) >= at || target.process === undefined) return;
    // Put and replaced before it was looked at, it has no version of its own: a later one says nothing about it.
    if (next === "before that") return;
    const seen = ownDot(rowOf(target, cache, key)?.context, site);
    const dropped = ownDot(floorOf(target, cache), site);
    if (seen > dotBefore || dropped > dotBefore) return;
    const there = cacheOf(target, cache).peek(key)?.value;
    if (there !== undefined && value?.equals(there) === true) return;
    this.#fail(
      `${site.name} answered a write to ${cache}/${key}, ${value?.toString() ?? "a remove"}, that ${target.name} has not got (I5)`,
    );
  }

  #pendingOf(site: SimSite, cache: string, key: string): Set<Write> {
    const name = `${site.name}\0${cache}\0${key}`;
    const pending = this.#pending.get(name) ?? new Set();
    this.#pending.set(name, pending);
    return pending;
  }

  #fail(message: string): void {
    this.#onFailure(new Violation(message));
  }
}

const ownDot = (context: ReadonlyMap<string, bigint> | undefined, site: SimSite): bigint =>
  context?.get(site.name) ?? 0n;
