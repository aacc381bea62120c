import type { InboundState } from "../../gateway/receive/inbound.ts";
import type { OfflineMark } from "../../gateway/status/offline-rule.ts";
import type { CacheState, Gap } from "../../site-agent/cache-agent.ts";
import type { CacheStats } from "../../site-agent/cache-stats.ts";
import type { KeycloakCachesStatus } from "../site/keycloak-caches.ts";
import type { SingleUseStats } from "../../site-agent/front-door/single-use.ts";
import type { DoorStats } from "../../site-agent/front-door/door-stats.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { Mode } from "../../topology/policy/mode.ts";
import type { HoldStats } from "../site/cache-hold.ts";

/*
 * The contract of `GET /api/v1/status` and `isthmus status --json`: plain JSON. What is not known is null, never left out.
 * Times are ms since the epoch in the site's clock, ages and lags are ms. Counters count since the process started.
 */

/** How far a process has come. */
export type ProcessState = "starting" | "standby" | "active" | "stopping" | "stopped";

/** Everything that one site knows of itself. */
export interface SiteStatus {
  readonly site: SiteName;
  readonly state: ProcessState;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  /** When this was read. */
  readonly at: number;
  /** The lease's term; null while this process does not hold it. */
  readonly term: number | null;
  /** How much longer the lease is good for if it is not renewed; negative: it ran out. */
  readonly leaseMsLeft: number | null;
  readonly natsConnected: boolean;
  /** Of the site's Keycloak, whose caches are cleared after a gap in `work`; null: the file names none for this site. */
  readonly keycloak: KeycloakCachesStatus | null;
  /** null: the file has none for this site, or it is not open. */
  readonly frontDoor: FrontDoorStatus | null;
  /** The site's own log; null before the site is active. */
  readonly log: LogStatus | null;
  readonly peers: readonly PeerStatus[];
  readonly caches: readonly CacheStatus[];
  readonly conflicts: number;
  readonly deadLetters: number;
  /** What the journal keeps of both for the operator; null before the site is active. */
  readonly journal: { readonly conflicts: JournalKept; readonly deadLetters: JournalKept } | null;
  /** What is wrong now, worst first, in plain sentences; empty: all is well. */
  readonly problems: readonly Problem[];
}

/** Rows of one kind in a site's journal. */
export interface JournalKept {
  readonly rows: number;
  readonly bytes: number;
  /** Rows that went because newer ones needed their room, since the ledger was made. */
  readonly dropped: number;
}

/** A site of the file that did not answer. */
export interface UnreachableSite {
  readonly site: SiteName;
  readonly state: "unreachable";
  readonly reason: string;
}

/** One thing that is wrong. */
export interface Problem {
  /** The cache that it is about; null: the whole site. */
  readonly cache: CacheName | null;
  /** The other site that it is about. */
  readonly peer: SiteName | null;
  /** The error's code, where there is one. */
  readonly code: string | null;
  readonly what: string;
}

/** The site's own log. */
export interface LogStatus {
  readonly stream: string;
  /** Identity of this run of sequences. */
  readonly incarnation: string;
  /** null until the log was looked at. */
  readonly firstSeq: number | null;
  readonly lastSeq: number;
}

/** Another site, as this one hears it. */
export interface PeerStatus {
  readonly site: SiteName;
  readonly state: "up" | "silent";
  /** Since its last heartbeat; null: none was heard since this process started. */
  readonly heardMsAgo: number | null;
  readonly term: number | null;
  /** Its clock against this site's; null: never measured. */
  readonly clock: PeerClock | null;
}

/** How far a peer's clock is from this site's. */
export interface PeerClock {
  /** The peer's clock minus this site's. */
  readonly offsetMs: number;
  /** The true offset is within this of `offsetMs`. */
  readonly errorMs: number;
  /** It is beyond `limits.maxClockSkew`, the error taken off. */
  readonly alarm: boolean;
}

/**
 * Where a cache stands: the agent's state; off; never. What is `live` under `sync` is told apart: `held`, its writers wait for
 * every target that is online; `degraded`, not for all of them right now; `unheld`, no front door holds them.
 */
export type ShownCacheState = CacheState | "held" | "degraded" | "unheld" | "off" | "never";

/** One cache at this site. */
export interface CacheStatus {
  readonly cache: CacheName;
  readonly localName: CacheName;
  readonly mode: Mode;
  readonly state: ShownCacheState;
  /** What the state means here: why it is blocked, what is being done; null: nothing to explain. */
  readonly why: string | null;
  /** Of the error behind `why`. */
  readonly code: string | null;
  /** Local changes may have been missed. */
  readonly gap: Gap | null;
  /** Since when an operator paused it here; null: it is not paused. */
  readonly pausedSince: number | null;
  /** Keys that are known to differ from the ledger right now. */
  readonly dirty: number;
  /** Changes that are not in the site's log yet. */
  readonly outbox: {
    readonly rows: number;
    readonly bytes: number;
    readonly oldestMs: number | null;
  };
  /** One for each site that this site's changes go to. */
  readonly targets: readonly TargetStatus[];
  /** One for each site whose changes come here. */
  readonly origins: readonly OriginStatus[];
  readonly conflicts: number;
  readonly deadLetters: number;
  /** Of the writers that wait; null unless the cache is under `sync` and a front door runs here. */
  readonly hold: HoldStatus | null;
  /** Of uses of its keys through the front door, since this process started; null unless the file says `singleUse: home`. */
  readonly singleUse: SingleUseStatus | null;
  /** Repair of gaps toward the other sites; null for a cache that is off or local here. */
  readonly resync: ResyncStatus | null;
  /** Tombstones that were dropped, and those of them that a refused site had not applied. */
  readonly tombstonesDropped: { readonly all: number; readonly forced: number };
  /** null for a cache that is off or local here. */
  readonly counters: Readonly<CacheStats> | null;
}

/** What the front door did for one cache since this process started. */
export interface HoldStatus extends Readonly<HoldStats> {
  /** Writes that are on their way or wait right now. */
  readonly waiting: number;
  /** Targets that nobody waits for until they are level again, each with since when, ms since the epoch. */
  readonly degradedTargets: ReadonlyArray<{ readonly target: SiteName; readonly since: number }>;
}

/** How often keys were used, and what became of it. */
export interface SingleUseStatus extends Readonly<SingleUseStats> {
  /** Keys that other sites were granted and have not removed yet. */
  readonly grantedNow: number;
}

/** A site's front door. */
export interface FrontDoorStatus extends Readonly<DoorStats> {
  /** `host:port`. */
  readonly listen: string;
}

/** What resyncs did for one cache since this process started. */
export interface ResyncStatus {
  /** Gaps toward other sites that were closed. */
  readonly repaired: number;
  /** Entries that came from other sites, and that went to them. */
  readonly received: number;
  readonly sent: number;
  /** The resync at work; null: none. */
  readonly running: {
    readonly peer: SiteName;
    /** Rows of this site that were compared so far, and keys that differed. */
    readonly compared: number;
    readonly differing: number;
  } | null;
}

/** What has yet to be confirmed by a target: what would be lost if this site died now. */
export interface DataAtRisk {
  readonly mutations: number;
  readonly bytes: number;
  /** Age of the oldest; 0: there is none. */
  readonly ageMs: number;
  /** The figures leave out what was sent before this process started and is not confirmed yet. */
  readonly isAtLeast: boolean;
}

/** One target of a cache's changes. */
export interface TargetStatus {
  readonly target: SiteName;
  readonly state: "up to date" | "catching up" | "silent" | "paused" | "offline";
  readonly why: string | null;
  readonly atRisk: DataAtRisk;
  /** The sequence of this site's log up to which it applied the cache; null: it never said. */
  readonly confirmedSeq: number | null;
  /** It takes nothing of this site until this was re-seeded. */
  readonly refusesThis: boolean;
  /** Nobody waits for it; null: it is online. */
  readonly offline: OfflineMark | null;
}

/** How a cache's changes come from one origin. */
export interface OriginStatus {
  readonly origin: SiteName;
  readonly state: InboundState | "paused";
  readonly why: string | null;
  /** Sequence of the origin's log up to which the cache is applied here. */
  readonly position: number;
  /** End of the mirror here; null: there is no mirror. */
  readonly mirrorEnd: number | null;
  /** Of the cache in the origin's log, as announced; null: never heard. */
  readonly announcedEnd: number | null;
  /** From the writer's change to the apply here; null before the first. */
  readonly lagMs: { readonly last: number; readonly mean: number } | null;
  readonly mutations: number;
  readonly bytes: number;
  /** Since when nothing of it is taken, because it has to be re-seeded; null: it is taken. */
  readonly refusedSince: number | null;
  /** Changes that it made before it was re-seeded and that were left out. */
  readonly voided: number;
  /** Batches that must not be in that log. */
  readonly refused: number;
  /** Failed attempts to apply that were tried again. */
  readonly retries: number;
  /** Times that batches were found missing from the log. */
  readonly counterGaps: number;
  readonly deadLetters: number;
  /** Changes of that site may have been missed. */
  readonly gap: Gap | null;
}
