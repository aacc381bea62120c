import { VERIFY_EXPIRY_TOLERANCE_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { KeyView, VersionLine } from "./key-view.ts";

/** A key that two or more sites show differently, and why. */
export interface Difference {
  readonly cache: string;
  readonly key: string;
  /** In a plain sentence. */
  readonly cause: string;
  readonly sites: readonly KeyView[];
}

/** A site's clock minus the first one's, ms; open gaps toward its peers, by reason. */
export interface SiteFacts {
  readonly offsetMs: number;
  readonly gaps: Readonly<Record<SiteName, string>>;
}

/** Whether sites show a key alike: the same bytes, expiries alike in one clock, or nothing. */
export function isAlike(
  views: readonly KeyView[],
  facts: ReadonlyMap<SiteName, SiteFacts>,
): boolean {
  const [first, ...others] = views;
  if (first === undefined) return true;
  return others.every((other) => {
    const [a, b] = [first.content, other.content];
    if (a === null || b === null) return a === b;
    return a.hash === b.hash && isSameExpiry(first, other, facts);
  });
}

function isSameExpiry(
  one: KeyView,
  other: KeyView,
  facts: ReadonlyMap<SiteName, SiteFacts>,
): boolean {
  const [a, b] = [one.content, other.content];
  if (a === null || b === null) return false;
  if ((a.expiresAt === 0) !== (b.expiresAt === 0)) return false;
  if (Math.abs(a.maxIdleMs - b.maxIdleMs) > 1_000) return false;
  const inOneClock = ({ site }: KeyView, at: number) => at - (facts.get(site)?.offsetMs ?? 0);
  const apart = Math.abs(inOneClock(one, a.expiresAt) - inOneClock(other, b.expiresAt));
  return a.expiresAt === 0 || apart <= VERIFY_EXPIRY_TOLERANCE_MS;
}

/** What may not have changed between two looks at a key that differs: else it was in flight. */
export function standingOf(views: readonly KeyView[]): string {
  const seen = views.map(({ site, content, versions, seen: context, isAsSaid }) => {
    const held = content === null ? "-" : content.hash;
    return [site, held, isAsSaid, versions.map(nameOf), Object.entries(context).map(String).sort()];
  });
  return JSON.stringify(seen);
}

const nameOf = ({ author, dot, hash }: VersionLine): string => `${author} ${dot} ${hash}`;

/** Why sites show a key differently, as far as their ledgers tell. */
export function causeOf(
  views: readonly KeyView[],
  facts: ReadonlyMap<SiteName, SiteFacts>,
): string {
  const stray = views.filter((view) => !view.isAsSaid && view.presence !== "absent");
  if (stray.length > 0) {
    return `the cache of ${names(stray)} holds something else than its ledger says: a change was not captured there, or something else writes to it`;
  }
  const behind = behindOf(views);
  if (behind !== undefined) {
    const { view, version, at } = behind;
    const gap = facts.get(view.site)?.gaps[version.author] ?? facts.get(view.site)?.gaps[at.site];
    const why = gap === undefined ? "" : `; its gap is not repaired yet: ${gap}`;
    return `${view.site} has not got the ${version.kind} of ${version.author} at ${new Date(version.at).toISOString()}, which ${at.site} has${why}`;
  }
  const absent = views.filter(({ presence }) => presence === "absent");
  if (absent.length > 0) return `${names(absent)} knows the version and has no copy of it`;
  const hashes = new Set(views.map(({ content }) => content?.hash));
  if (hashes.size === 1) return "the entries end at different times";
  return "the sites hold the same versions and show different values: report this";
}

/** A site that never saw a version that another one holds. */
function behindOf(
  views: readonly KeyView[],
): { view: KeyView; version: VersionLine; at: KeyView } | undefined {
  for (const at of views) {
    for (const version of at.versions) {
      const view = views.find(
        ({ seen }) => BigInt(seen[version.author] ?? "0") < BigInt(version.dot),
      );
      if (view !== undefined) return { view, version, at };
    }
  }
  return undefined;
}

const names = (views: readonly KeyView[]): string => views.map(({ site }) => site).join(" and ");
