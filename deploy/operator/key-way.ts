import type { SiteName } from "../../topology/names.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import { MERGED } from "../site/journal.ts";
import type { VersionView } from "./journal-lists.ts";
import type { LoggedVersion, SiteTrace, VersionName } from "./trace-key.ts";

/** Where one version stands at one site. */
export type WayState =
  /** The cache holds it there. */
  | "shows"
  /** Part of the value that a merge made. */
  | "merged"
  /** Kept in the ledger, but the policy shows another. */
  | "outvoted"
  /** Seen, and superseded since. */
  | "superseded"
  /** A remove, or it ended by itself: the key is not there. */
  | "gone"
  /** It is known and wins, but this cache has no copy. */
  | "no copy"
  | "dead letter"
  /** In the mirror there, not applied yet. */
  | "mirrored"
  /** On its way. */
  | "not mirrored"
  /** Not in its author's log yet. */
  | "not logged"
  /** By the file this site does not take it. */
  | "not replicated";

/** One version at one site. */
export interface WayAtSite {
  readonly site: SiteName;
  readonly is: WayState;
  /** The rule, or what it waits for. */
  readonly why: string | null;
  /** When the site had applied it, ms since the epoch in its own clock, within a second; null: not known. */
  readonly appliedBy: number | null;
}

/** One version's way. */
export interface VersionWay extends VersionName {
  /** null: only a dead letter tells of it. */
  readonly version: VersionView | null;
  /** In its author's log, as the author or a mirror tells. */
  readonly log: { readonly seq: number; readonly storedAt: number } | null;
  readonly sites: readonly WayAtSite[];
}

/** The newest version of each author, as far as any site has seen it, and all that are not superseded; newest first. */
export function versionsOf(traces: readonly SiteTrace[]): readonly VersionName[] {
  const found = new Map<string, VersionName>();
  const add = (author: SiteName, dot: string): void => {
    found.set(`${author}/${dot}`, { author, dot });
  };
  for (const { versions, seen, presence } of traces) {
    for (const { author, dot } of versions) add(author, dot);
    // Without a row it is the floor of the cache, which speaks of no key.
    if (presence === null) continue;
    for (const [author, dot] of Object.entries(seen)) if (dot !== "0") add(author, dot);
  }
  for (const { deadLetters } of traces)
    for (const { origin, dot } of deadLetters)
      if (origin !== null && dot !== null) add(origin, dot);
  return [...found.values()].sort((a, b) => (BigInt(a.dot) < BigInt(b.dot) ? 1 : -1));
}

/** What became of each version at each site that answered. Pure. */
export function waysOf(traces: readonly SiteTrace[]): readonly VersionWay[] {
  return versionsOf(traces)
    .map((name) => wayOf(traces, name))
    .filter((way) => isOfKey(traces, way));
}

/** A dot that is only said to be seen may be the floor's of the cache, which a new key takes over: not a version of the key. */
function isOfKey(traces: readonly SiteTrace[], { author, dot, version }: VersionWay): boolean {
  if (version !== null) return true;
  return traces.some(({ deadLetters }) =>
    deadLetters.some((letter) => letter.origin === author && letter.dot === dot),
  );
}

function wayOf(traces: readonly SiteTrace[], name: VersionName): VersionWay {
  const logged = traces.flatMap((trace) => loggedAt(trace, name) ?? []);
  const inLog = logged.find(({ seq }) => seq !== null);
  const versions = traces.flatMap((t) => t.versions).filter((v) => isSame(v, name));
  const { seq = null, storedAt = null } = inLog ?? {};
  const log = seq === null || storedAt === null ? null : { seq, storedAt };
  return {
    ...name,
    // The log tells the size too.
    version: inLog?.version ?? versions.find((v) => v.bytes !== null) ?? versions[0] ?? null,
    log,
    sites: traces.map((trace) => wayAt(trace, name, log?.seq, unsentAt(traces, name))),
  };
}

const isSame = (a: VersionName, b: VersionName): boolean =>
  a.author === b.author && a.dot === b.dot;

const loggedAt = ({ logged }: SiteTrace, name: VersionName): LoggedVersion | undefined =>
  logged.find((candidate) => isSame(candidate, name));

/** Why a version's author cannot send it, if so. */
function unsentAt(traces: readonly SiteTrace[], { author }: VersionName): string | undefined {
  const letters = traces.find(({ site }) => site === author)?.deadLetters ?? [];
  const letter = letters.find(({ origin }) => origin === null);
  return letter && `dead letter ${letter.id}: ${letter.reason}`;
}

function wayAt(
  trace: SiteTrace,
  name: VersionName,
  seq: number | undefined,
  unsent: string | undefined,
): WayAtSite {
  const { site } = trace;
  const appliedBy = loggedAt(trace, name)?.appliedBy ?? null;
  const at = (is: WayState, why: string | null = null): WayAtSite => ({
    site,
    is,
    why,
    // The position passes a dead letter too.
    appliedBy: is === "dead letter" || is === "not replicated" ? null : appliedBy,
  });
  if (trace.mode === "never") return at("not replicated", "local cache: mode never");
  if (trace.mode === "off") return at("not replicated", "mode off");
  const own = trace.versions.find((v) => isSame(v, name));
  if (own !== undefined) return keptAt(trace, own, at);
  const letter = trace.deadLetters.find((d) => d.origin === name.author && d.dot === name.dot);
  const isSeen = BigInt(trace.seen[name.author] ?? "0") >= BigInt(name.dot);
  if (letter !== undefined && !isSeen) return at("dead letter", `${letter.id}: ${letter.reason}`);
  if (isSeen && trace.presence === null)
    return at("gone", "seen by all, and its tombstone was dropped");
  if (isSeen) return at("superseded", supersededBy(trace));
  const origin = trace.origins.find((o) => o.origin === name.author);
  if (origin?.isTarget === false) return at("not replicated", `not sent from ${name.author} here`);
  const reason = origin === undefined ? trace.state : (origin.why ?? origin.state);
  if (seq === undefined)
    return at("not logged", unsent ?? `not in the log of ${name.author}, as far as is known`);
  const end = origin?.mirrorEnd ?? null;
  if (origin !== undefined && end !== null && end >= seq)
    return at("mirrored", `applied up to ${origin.position}; ${reason}`);
  return at("not mirrored", `the mirror ends at ${end ?? "?"}; ${reason}`);
}

/** A version that nothing supersedes. */
function keptAt(
  trace: SiteTrace,
  version: VersionView,
  at: (is: WayState, why?: string | null) => WayAtSite,
): WayAtSite {
  const { shows, presence, policy, versions } = trace;
  if (shows === MERGED) return at("merged", `${policyText(policy)} of ${versions.length} versions`);
  if (shows !== version.author)
    return at("outvoted", `${policyText(policy)} shows ${shows ?? "nothing"}'s`);
  const rule = versions.length > 1 ? policyText(policy) : null;
  if (presence === "live") return at("shows", rule);
  if (version.kind === "remove") return at("gone", rule ?? "removed");
  if (presence === "tombstone") return at("gone", "it ended by itself");
  return at(
    "no copy",
    trace.gap ?? (trace.mode === "invalidate" ? "mode invalidate" : "to be fetched from a peer"),
  );
}

function supersededBy({ versions }: SiteTrace): string {
  const names = versions.map(({ author, kind }) => `${author}'s ${kind}`);
  return names.length === 0 ? "by a version that is gone" : `by ${names.join(" and ")}`;
}

/** A conflict policy in words. */
export function policyText(policy: ConflictPolicy): string {
  if (typeof policy === "string") return policy;
  return "merge" in policy ? `merge ${policy.merge}` : `prefer-site ${policy.preferSite.join(" ")}`;
}
