import type { CacheName, SiteName } from "../../topology/names.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import { targetsOf } from "../../topology/policy/cache-policy.ts";
import type { Mode } from "../../topology/policy/mode.ts";
import type { Context, Dot, Entry, Key } from "../../topology/version/entry.ts";
import { shown, valuesNeeded } from "../../topology/version/show.ts";
import { findVersion, type FoundVersion } from "../../gateway/control/find-version.ts";
import type { HandledCache } from "../site/handled-cache.ts";
import { MERGED } from "../site/journal.ts";
import type { Site } from "../site/site.ts";
import { type VersionView, versionView } from "./journal-lists.ts";

/** One version, by what makes it unique. */
export interface VersionName {
  readonly author: SiteName;
  /** Decimal. */
  readonly dot: string;
}

/** Where one version is in its author's log, as this site has it: its own log, or its mirror of another's. */
export interface LoggedVersion extends VersionName {
  /** null: it is not there. */
  readonly seq: number | null;
  /** When the author's log stored it, ms since the epoch. */
  readonly storedAt: number | null;
  /** As the log tells it. */
  readonly version: VersionView | null;
  /** When the applied position here had passed it, ms since the epoch, within a second; null: not yet, or too long ago. */
  readonly appliedBy: number | null;
}

/** How this site stands to one origin's log of the cache. */
export interface TraceOrigin {
  readonly origin: SiteName;
  /** Whether the policy sends the cache from there to here. */
  readonly isTarget: boolean;
  readonly state: string;
  readonly why: string | null;
  /** Applied up to this sequence. */
  readonly position: number;
  readonly mirrorEnd: number | null;
}

/** What one site knows of one key. Times are ms since the epoch in its own clock. */
export interface SiteTrace {
  readonly site: SiteName;
  readonly at: number;
  readonly mode: Mode;
  readonly policy: ConflictPolicy;
  /** Of the cache; null: off or never. */
  readonly state: string | null;
  readonly gap: string | null;
  /** null: no row. */
  readonly presence: Entry["presence"] | null;
  /** Hash of what the cache holds, as far as the ledger knows. */
  readonly held: string | null;
  /** Author -> newest dot that was seen of the key; without a row the cache's floor. */
  readonly seen: Readonly<Record<SiteName, string>>;
  /** The versions that no other supersedes. */
  readonly versions: readonly VersionView[];
  /** Author of what shows; "(merged)" for a computed value; null: nothing. */
  readonly shows: string | null;
  /** Mutations of the cache that wait to be put into this site's log. */
  readonly queued: number;
  readonly origins: readonly TraceOrigin[];
  /** Of this key. */
  readonly deadLetters: ReadonlyArray<{
    id: string;
    origin: SiteName | null;
    dot: string | null;
    reason: string;
  }>;
  /** Newest conflict of this key in the journal. */
  readonly conflict: string | null;
  readonly logged: readonly LoggedVersion[];
}

/** Tells what a site knows of one key, and looks for versions of it in its log and its mirrors. */
export class KeyTracer {
  readonly #site: Site;

  constructor(site: Site) {
    this.#site = site;
  }

  /** @throws NatsUnreachable when versions are to be looked for and the site's NATS is away */
  async trace(cache: CacheName, key: Key, versions: readonly VersionName[]): Promise<SiteTrace> {
    const { name, ports, caches } = this.#site;
    const handled = caches.get(cache);
    const agent = handled?.agent;
    const entry = agent?.rows.get(key);
    const policy = handled?.policy.conflict ?? "last-writer-wins";
    const logged: LoggedVersion[] = [];
    for (const version of versions) logged.push(await this.#logged(handled, cache, key, version));
    return {
      site: name,
      at: ports.clock.now(),
      mode: handled?.policy.mode ?? "off",
      policy,
      state: agent?.state ?? null,
      gap: agent?.gap?.reason ?? null,
      presence: entry?.presence ?? null,
      held: (entry?.presence === "live" ? entry.held?.hash : undefined) ?? null,
      seen: dotsOf(entry?.context ?? agent?.floor() ?? new Map()),
      versions: (entry?.siblings ?? []).map((s) => versionView({ ...s, bytes: s.value?.length })),
      shows: entry === undefined ? null : showsOf(entry, policy),
      queued: agent?.outboxRows ?? 0,
      origins: this.#site.inbounds.flatMap((inbound) => this.#origin(handled, inbound.origin)),
      ...this.#journalled(cache, key),
      logged,
    };
  }

  #origin(handled: HandledCache | undefined, origin: SiteName): TraceOrigin[] {
    const { config, name, inbounds } = this.#site;
    const inbound = inbounds.find((candidate) => candidate.origin === origin);
    const receiver = handled?.receivers.find((candidate) => candidate.origin === origin);
    if (handled === undefined || inbound === undefined || receiver === undefined) return [];
    return [
      {
        origin,
        isTarget: targetsOf(config, handled.policy, origin).includes(name),
        state: receiver.blocked === undefined ? inbound.state : "blocked",
        why: receiver.blocked ?? inbound.problem ?? null,
        position: receiver.applied().seq,
        mirrorEnd: inbound.mirror?.lastSeq ?? null,
      },
    ];
  }

  async #logged(
    handled: HandledCache | undefined,
    cache: CacheName,
    key: Key,
    { author, dot }: VersionName,
  ): Promise<LoggedVersion> {
    const { name, ports } = this.#site;
    const stream = author === name ? ports.log : ports.mirrors.get(author);
    const wanted = { origin: author, cache, key, dot: BigInt(dot) };
    const found = stream === undefined ? undefined : await findVersion(stream, wanted);
    if (found === undefined) {
      return { author, dot, seq: null, storedAt: null, version: null, appliedBy: null };
    }
    const { seq, storedAtMs } = found;
    const appliedBy = handled?.appliedTimes.get(author)?.passed(seq) ?? null;
    const version = versionView(loggedVersion(author, found));
    return { author, dot, seq, storedAt: storedAtMs, version, appliedBy };
  }

  /** The key's dead letters, and its newest conflict. */
  #journalled(cache: CacheName, key: Key): Pick<SiteTrace, "deadLetters" | "conflict"> {
    const { journal, name } = this.#site;
    const deadLetters: Array<SiteTrace["deadLetters"][number]> = [];
    for (const [id, row] of journal.deadLetterRows.newest()) {
      if (row.cache !== cache || row.key !== key) continue;
      const { origin, dot, reason } = row;
      deadLetters.push({
        id: `${name}:${id}`,
        origin: origin ?? null,
        dot: dot?.toString() ?? null,
        reason,
      });
    }
    for (const [id, row] of journal.conflictRows.newest()) {
      if (row.cache === cache && row.key === key) return { deadLetters, conflict: `${name}:${id}` };
    }
    return { deadLetters, conflict: null };
  }
}

function showsOf({ siblings }: Entry, policy: ConflictPolicy): string | null {
  if (valuesNeeded(siblings, policy).length > 0) return MERGED;
  const shows = shown(siblings, policy);
  return shows !== undefined && "author" in shows ? shows.author : null;
}

const dotsOf = (context: Context): Record<SiteName, string> =>
  Object.fromEntries([...context].map(([site, dot]: [SiteName, Dot]) => [site, dot.toString()]));

function loggedVersion(author: SiteName, { mutation }: FoundVersion) {
  const { value, ...version } = mutation;
  return { ...version, author, bytes: value?.length };
}
