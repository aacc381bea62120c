import type { Entry, Key } from "../../../topology/version/entry.ts";
import { type Change, hashOf } from "./sim-cache.ts";

interface Write {
  readonly id: number;
  readonly site: string;
  /** undefined: a remove. */
  readonly hash: string | undefined;
  readonly at: number;
  /** Whoever wrote later saw this one, and Isthmus had it in its ledger then: it must never show again. */
  supersededBy: { readonly site: string; readonly at: number } | undefined;
}

interface KeyHistory {
  readonly writes: Write[];
  /** Site to the write that its cache shows, as far as it is known. */
  readonly shows: Map<string, Write | undefined>;
  /** It may have gone by itself: it had a lifespan, or a cache lost it. */
  mayBeGone: boolean;
}

/**
 * What the clients did to one cache at all sites, and what must follow from it where causality is clear. It knows nothing of
 * versions: it compares what was written with what shows.
 */
export class Oracle {
  readonly #keys = new Map<Key, KeyHistory>();
  /** Site and key to the changes by clients: what may be published (I4). */
  readonly #changes = new Map<string, number>();
  #ids = 0;

  /** A change at a site's cache; `row` is what that site's ledger had committed of the key at that moment. */
  changed(site: string, change: Change, row: Entry | undefined, now: number): void {
    const { key, before, after, by } = change;
    const history = this.#history(key);
    const shown = history.shows.get(site);
    if (by === "expiry") history.mayBeGone = true;
    if (after !== undefined && after.lifespanMs > 0) history.mayBeGone = true;
    if (by !== "client") {
      if (by === "isthmus") {
        const hash = after === undefined ? undefined : hashOf(after.value);
        const found = hash === undefined ? [] : history.writes.filter((w) => w.hash === hash);
        history.shows.set(site, found.length === 1 ? found[0] : undefined);
      }
      return;
    }
    const count = this.#changes.get(`${site}\0${key}`) ?? 0;
    this.#changes.set(`${site}\0${key}`, count + 1);
    if (before === undefined && after === undefined) return;
    const isKnown =
      before === undefined
        ? row?.presence === "tombstone"
        : row?.presence === "live" && row.held?.hash === hashOf(before.value);
    if (isKnown && shown !== undefined) shown.supersededBy ??= { site, at: now };
    this.#ids += 1;
    const hash = after === undefined ? undefined : hashOf(after.value);
    const write: Write = { id: this.#ids, site, hash, at: now, supersededBy: undefined };
    history.writes.push(write);
    history.shows.set(site, write);
  }

  /** A site's cache or ledger lost what it had not handed on: what was written there lately proves nothing. */
  lost(site: string, since: number, isCache: boolean): void {
    for (const history of this.#keys.values()) {
      if (isCache) {
        history.shows.delete(site);
        history.mayBeGone = true;
      }
      for (const write of history.writes) {
        const by = write.supersededBy;
        if (by !== undefined && by.site === site && by.at >= since) write.supersededBy = undefined;
      }
    }
  }

  /** How often clients touched a key at a site. */
  changesOf(site: string, key: Key): number {
    return this.#changes.get(`${site}\0${key}`) ?? 0;
  }

  /** Why the key must not show this, undefined if it may. `hash` undefined: it is missing. */
  objection(key: Key, hash: string | undefined): string | undefined {
    const history = this.#keys.get(key);
    if (history === undefined) return hash === undefined ? undefined : "nobody wrote it";
    const { writes, mayBeGone } = history;
    const same = writes.filter((w) => w.hash === hash);
    if (hash === undefined) {
      if (mayBeGone || writes.length === 0) return undefined;
      if (same.some((w) => w.supersededBy === undefined)) return undefined;
      return "it is gone, but every remove of it was followed by a put that knew of it (I1)";
    }
    if (same.length === 0) return "nobody wrote this value (I8)";
    if (same.some((w) => w.supersededBy === undefined)) return undefined;
    return `it shows write ${same.map((w) => w.id).join()}, which a later one replaced (I3)`;
  }

  keys(): Key[] {
    return [...this.#keys.keys()];
  }

  #history(key: Key): KeyHistory {
    let history = this.#keys.get(key);
    if (history === undefined) {
      history = { writes: [], shows: new Map(), mayBeGone: false };
      this.#keys.set(key, history);
    }
    return history;
  }
}
