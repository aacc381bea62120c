import { hostname } from "node:os";
import { PEER_SILENT_MS } from "../../topology/limits.ts";
import { formatAddress } from "../../topology/config/config.ts";
import type { FrontDoor } from "../../site-agent/front-door/front-door.ts";
import { logStream, type SiteName } from "../../topology/names.ts";
import type { Clock } from "../../topology/ports.ts";
import type { KeycloakCaches } from "../site/keycloak-caches.ts";
import type { Site } from "../site/site.ts";
import { readCache } from "./read-cache.ts";
import { problemsOf } from "./problems.ts";
import type { PeerStatus, ProcessState, SiteStatus } from "./site-status.ts";

/** The process that a status is read from. */
export interface StatusSource {
  readonly name: SiteName;
  readonly version: string;
  readonly state: ProcessState;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly isConnected: boolean;
  /** undefined until the process is active. */
  readonly site: Site | undefined;
  readonly keycloak: KeycloakCaches | undefined;
  readonly clock: Clock;
}

/** The status now; looks only at what is in memory. */
export function readStatus(source: StatusSource): SiteStatus {
  const { name, version, state, startedAt, isConnected, site, clock } = source;
  const caches = site === undefined ? [] : [...site.caches.values()].map((c) => readCache(site, c));
  const status = {
    site: name,
    state,
    version,
    host: hostname(),
    pid: process.pid,
    startedAt,
    at: clock.now(),
    term: site?.lease.term ?? null,
    leaseMsLeft: leaseMsLeft(site, clock),
    natsConnected: isConnected,
    keycloak: source.keycloak?.status ?? null,
    frontDoor: site?.frontDoor === undefined ? null : doorOf(site.frontDoor),
    log: site === undefined ? null : logOf(site),
    peers: site === undefined ? [] : site.peers.map((peer) => peerOf(site, peer)),
    caches,
    conflicts: site?.journal.conflicts ?? 0,
    deadLetters: site?.journal.deadLetters ?? 0,
    journal: site === undefined ? null : journalOf(site),
  };
  return { ...status, problems: problemsOf(status) };
}

function doorOf({ address, stats }: FrontDoor): SiteStatus["frontDoor"] {
  return { listen: formatAddress(address), ...stats };
}

function journalOf({ journal }: Site): SiteStatus["journal"] {
  return { conflicts: journal.conflictRows.size, deadLetters: journal.deadLetterRows.size };
}

/** A given-back lease has no deadline any more. */
function leaseMsLeft(site: Site | undefined, clock: Clock): number | null {
  const left = site === undefined ? Number.NaN : site.lease.deadline() - clock.monotonic();
  return Number.isFinite(left) ? Math.round(left) : null;
}

function logOf(site: Site): SiteStatus["log"] {
  const { head, name, logState } = site;
  return {
    stream: logStream(name),
    incarnation: head.incarnation,
    firstSeq: logState?.firstSeq ?? null,
    lastSeq: Math.max(head.lastSeq, logState?.lastSeq ?? 0),
  };
}

function peerOf(site: Site, peer: SiteName): PeerStatus {
  const heard = site.heartbeat.last(peer);
  const silenceMs = site.heartbeat.silenceMs(peer);
  const offset = site.offsets.offset(peer);
  return {
    site: peer,
    state: silenceMs > PEER_SILENT_MS ? "silent" : "up",
    heardMsAgo: heard === undefined ? null : Math.round(silenceMs),
    term: heard?.beat.content.term ?? null,
    clock:
      offset === undefined
        ? null
        : {
            offsetMs: tenths(offset.offsetMs),
            errorMs: tenths(offset.errorMs),
            alarm: Math.abs(offset.offsetMs) - offset.errorMs > site.config.limits.maxClockSkewMs,
          },
  };
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;
