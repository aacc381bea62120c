import type { Entry, Key } from "../../../topology/version/entry.ts";
import { linesOf } from "./sim-config.ts";
import { type Change, hashOf, type Stored } from "./sim-cache.ts";

interface Write {
  readonly id: number;
  readonly site: string;
  /** undefined: a remove. */
  readonly text: string | undefined;
  /** By the site's clock, ms since the epoch: its version is not dated earlier, as long as it {@link isHeard}. */
  readonly at: number;
  /** A remove of a key without a copy: all that is left of it is the event that tells of it. */
  readonly isOfAbsent: boolean;
  /** A listener told of it, and nothing came in between: it was captured, or what its site wrote after it. */
  isHeard: boolean;
  /** Whoever wrote later saw this one, and Isthmus had it in its ledger then: it must never show again. */
  supersededBy: Write | undefined;
}

interface KeyHistory {
  readonly writes: Write[];
  /** Site to the writes that its cache shows, as far as they are known: more than one only of a merge. */
  readonly shows: Map<string, readonly Write[]>;
  /** It may have gone by itself: it had an end, or a cache lost it. */
  mayBeGone: boolean;
}

/**
 * The same bytes again may be taken for those that are there; what comes and goes between two reads is no change. Where the
 * ledger knows no token of the entry, or this write drew none, that goes for the bytes that the ledger has, too.
 */
function isAsBefore(row: Entry | undefined, before: Stored | undefined, after: Stored): boolean {
  if (before?.value.equals(after.value) === true) return true;
  const held = row?.presence === "live" ? row.held : undefined;
  const isByBytes = held?.token === undefined || after.token === 0n;
  return isByBytes && held?.hash === hashOf(after.value);
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

  /**
   * A change at a site's cache.
   *
   * @param row what that site's ledger had committed of the key at that moment
   * @param seen whether nothing can make it look like something else before it is captured, and whether a listener hears it
   */
  changed(
    site: string,
    change: Change,
    row: Entry | undefined,
    seen: { readonly isProof: boolean; readonly isHeard: boolean; readonly at: number },
  ): void {
    const { key, before, after, by } = change;
    const history = this.#history(key);
    const shown = history.shows.get(site) ?? [];
    if (by === "expiry") history.mayBeGone = true;
    if (after !== undefined && after.lifespanMs + after.maxIdleMs > 0) history.mayBeGone = true;
    if (by !== "client") {
      if (by === "isthmus") history.shows.set(site, this.#shownBy(history, after?.value));
      return;
    }
    const count = this.#changes.get(`${site}\0${key}`) ?? 0;
    this.#changes.set(`${site}\0${key}`, count + 1);
    const known = row?.presence === "absent" && after === undefined ? row.siblings : [];
    const isOfAbsent = known.length > 0;
    if (before === undefined && after === undefined && !isOfAbsent) return;
    const isKnown =
      before === undefined
        ? row?.presence === "tombstone"
        : row?.presence === "live" && row.held?.hash === hashOf(before.value);
    this.#ids += 1;
    const text = after?.value.toString();
    // What is removed without having been captured may come and go between two reads.
    const isLasting =
      after === undefined
        ? isKnown && row?.presence === "live"
        : after.lifespanMs + after.maxIdleMs === 0 && !isAsBefore(row, before, after);
    const isHeard = seen.isHeard && isLasting;
    const { at } = seen;
    const bare = { id: this.#ids, site, text, at, isHeard, isOfAbsent };
    const write: Write = { ...bare, supersededBy: undefined };
    if (isOfAbsent && seen.isHeard && seen.isProof) {
      const hashes = new Set(known.map((version) => version.hash));
      for (const each of history.writes)
        if (each.text !== undefined && hashes.has(hashOf(Buffer.from(each.text))))
          each.supersededBy ??= write;
    }
    if (isKnown && seen.isProof) for (const each of shown) each.supersededBy ??= write;
    history.writes.push(write);
    history.shows.set(site, [write]);
  }

  /** The cache of a site lost all that it held. */
  cacheLost(site: string): void {
    for (const history of this.#keys.values()) {
      history.shows.delete(site);
      history.mayBeGone = true;
    }
  }

  /** What clients of a site did to a key lately may never be captured as what it was: it proves nothing. */
  unsure(site: string, key: Key): void {
    for (const write of this.#keys.get(key)?.writes ?? []) {
      if (write.supersededBy?.site === site) write.supersededBy = undefined;
    }
    this.unheard(site, key);
  }

  /** Events of a site are lost: those that tell of removes of keys without a copy were the only trace of these. */
  untold(site: string, sinceMs: number): void {
    for (const { writes } of this.#keys.values()) {
      for (const write of writes) {
        const by = write.supersededBy;
        if (by?.isOfAbsent === true && by.site === site && by.at >= sinceMs)
          write.supersededBy = undefined;
      }
    }
  }

  /** What clients of a site did to a key may be found later, by a scan, which dates it otherwise. */
  unheard(site: string, key: Key): void {
    for (const write of this.#keys.get(key)?.writes ?? []) {
      if (write.site === site) write.isHeard = false;
    }
  }

  /**
   * Why the newest version of a key is too old, undefined if it is not: no later write is lost (I1). A remove that another
   * site's remove got ahead of is none: `isRemoved`.
   */
  tooOld(
    key: Key,
    newest: { readonly at: number; readonly isRemoved: boolean },
    toleranceMs: number,
  ): string | undefined {
    const last = this.#keys.get(key)?.writes.at(-1);
    if (last === undefined || !last.isHeard || newest.at >= last.at - toleranceMs) return undefined;
    if (last.text === undefined && newest.isRemoved) return undefined;
    const what = last.text === undefined ? "the remove" : last.text;
    return `nothing is as new as write ${last.id} of ${last.site}, ${what} (I1)`;
  }

  /** Isthmus may take what each key of a site holds for a change once more: its ledger was lost. */
  mayBeRepublished(site: string): void {
    for (const key of this.#keys.keys()) {
      const id = `${site}\0${key}`;
      this.#changes.set(id, (this.#changes.get(id) ?? 0) + 1);
    }
  }

  /** How often clients touched a key at a site. */
  changesOf(site: string, key: Key): number {
    return this.#changes.get(`${site}\0${key}`) ?? 0;
  }

  /** Whether a key may have gone at a site by what came from elsewhere, or by itself. */
  mayGoFromElsewhere(site: string, key: Key): boolean {
    const history = this.#keys.get(key);
    if (history === undefined) return false;
    return history.mayBeGone || history.writes.some((w) => w.site !== site && w.text === undefined);
  }

  /** Why the key must not show this, undefined if it may. `value` undefined: it is missing. */
  objection(key: Key, value: Buffer | undefined): string | undefined {
    const history = this.#keys.get(key);
    if (history === undefined) return value === undefined ? undefined : "nobody wrote it";
    const { writes, mayBeGone } = history;
    if (value === undefined) {
      if (mayBeGone || writes.length === 0) return undefined;
      const isOpen = writes.some((w) => w.text === undefined && w.supersededBy === undefined);
      if (isOpen) return undefined;
      return "it is gone, but every remove of it was followed by a put that knew of it (I1)";
    }
    for (const line of linesOf(value)) {
      const same = writes.filter((w) => w.text === line);
      if (same.length === 0) return "nobody wrote this value (I8)";
      if (same.some((w) => w.supersededBy === undefined)) continue;
      return `it shows write ${same.map((w) => w.id).join()}, which a later one replaced (I3)`;
    }
    return undefined;
  }

  keys(): Key[] {
    return [...this.#keys.keys()];
  }

  #shownBy(history: KeyHistory, value: Buffer | undefined): readonly Write[] {
    if (value === undefined) return [];
    const shown: Write[] = [];
    for (const line of linesOf(value)) {
      const found = history.writes.filter((w) => w.text === line);
      if (found.length === 1) shown.push(...found);
    }
    return shown;
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
