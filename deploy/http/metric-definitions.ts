import type { CacheStats } from "../../site-agent/cache-stats.ts";
import { HOLD_BOUNDS_MS } from "../site/cache-hold.ts";
import type { CacheStatus, OriginStatus, SiteStatus, TargetStatus } from "../status/site-status.ts";

/** Labels and value of one sample. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Of a histogram's: which of its series. */
  readonly series?: "bucket" | "sum" | "count";
}

/** One metric: how Prometheus knows it, and how it is read from a status. */
export interface MetricDefinition {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  samples(status: SiteStatus): readonly Sample[];
}

type Value = number | boolean | null | undefined;

/** A value that is not known makes no sample: 0 would be a lie. */
const sample = (labels: Sample["labels"], value: Value): readonly Sample[] =>
  value === null || value === undefined ? [] : [{ labels, value: Number(value) }];

const seconds = (ms: number | null | undefined): number | undefined =>
  ms === null || ms === undefined ? undefined : ms / 1000;

const isHandled = ({ state }: CacheStatus): boolean => state !== "off" && state !== "never";

type Kind = MetricDefinition["type"];

function ofSite(
  name: string,
  help: string,
  read: (status: SiteStatus) => Value,
  type: Kind = "gauge",
): MetricDefinition {
  return { name, type, help, labels: [], samples: (status) => sample({}, read(status)) };
}

function ofPeer(
  name: string,
  help: string,
  read: (peer: SiteStatus["peers"][number]) => Value,
): MetricDefinition {
  const samples = ({ peers }: SiteStatus) =>
    peers.flatMap((peer) => sample({ peer: peer.site }, read(peer)));
  return { name, type: "gauge", help, labels: ["peer"], samples };
}

function ofCache(
  name: string,
  help: string,
  read: (cache: CacheStatus, status: SiteStatus) => Value,
  type: Kind = "gauge",
): MetricDefinition {
  const samples = (status: SiteStatus) =>
    status.caches
      .filter(isHandled)
      .flatMap((cache) => sample({ cache: cache.cache }, read(cache, status)));
  return { name, type, help, labels: ["cache"], samples };
}

const counted = (name: string, help: string, key: keyof CacheStats): MetricDefinition =>
  ofCache(`isthmus_${name}_total`, help, ({ counters }) => counters?.[key], "counter");

function ofTarget(
  name: string,
  help: string,
  read: (target: TargetStatus) => Value,
): MetricDefinition {
  const samples = ({ caches }: SiteStatus) =>
    caches.flatMap(({ cache, targets }) =>
      targets.flatMap((target) => sample({ cache, target: target.target }, read(target))),
    );
  return { name, type: "gauge", help, labels: ["cache", "target"], samples };
}

function ofOrigin(
  name: string,
  help: string,
  read: (origin: OriginStatus) => Value,
  type: Kind = "gauge",
): MetricDefinition {
  const samples = ({ caches }: SiteStatus) =>
    caches.flatMap(({ cache, origins }) =>
      origins.flatMap((origin) => sample({ cache, origin: origin.origin }, read(origin))),
    );
  return { name, type, help, labels: ["cache", "origin"], samples };
}

const SITE: readonly MetricDefinition[] = [
  {
    name: "isthmus_info",
    type: "gauge",
    help: "Always 1; the labels say which site and version this is.",
    labels: ["site", "version"],
    samples: ({ site, version }) => sample({ site, version }, 1),
  },
  ofSite(
    "isthmus_keycloak_caches_cleared_total",
    "Times that the local caches of the site's Keycloak were cleared after a gap in `work`.",
    ({ keycloak }) => keycloak?.cleared,
    "counter",
  ),
  ofSite(
    "isthmus_keycloak_caches_stale",
    "1 while the local caches of the site's Keycloak may be stale and cannot be cleared.",
    ({ keycloak }) => keycloak && keycloak.problem !== null,
  ),
  ofSite(
    "isthmus_active",
    "1 while this process is the site's active one.",
    ({ state }) => state === "active",
  ),
  ofSite(
    "isthmus_term",
    "The lease's term; rises with each takeover. Absent on a process that is not active.",
    ({ term }) => term,
  ),
  ofSite(
    "isthmus_lease_seconds_left",
    "How much longer the lease is good for unless it is renewed; at 0 or below nothing is written.",
    ({ leaseMsLeft }) => seconds(leaseMsLeft),
  ),
  ofSite(
    "isthmus_nats_connected",
    "1 while the site's NATS is connected.",
    ({ natsConnected }) => natsConnected,
  ),
  ofSite(
    "isthmus_front_door_connections",
    "Client connections of the front door; absent where none is open.",
    ({ frontDoor }) => frontDoor?.connections,
  ),
  ofSite(
    "isthmus_front_door_requests_total",
    "Hot Rod requests that the front door forwarded.",
    ({ frontDoor }) => frontDoor?.requests,
    "counter",
  ),
  ofSite(
    "isthmus_front_door_protocol_errors_total",
    "Connections that the front door ended for what came over them.",
    ({ frontDoor }) => frontDoor?.protocolErrors,
    "counter",
  ),
  ofSite(
    "isthmus_front_door_unreachable_total",
    "Connections of clients that were turned away because no cache server could be reached.",
    ({ frontDoor }) => frontDoor?.unreachable,
    "counter",
  ),
  ofSite(
    "isthmus_problems",
    "Number of things that are wrong now; `isthmus status` lists them. Alert on it when it stays above 0.",
    ({ problems }) => problems.length,
  ),
  ofSite(
    "isthmus_journal_dead_letters",
    "Dead letters that wait for the operator; `isthmus dead-letters` lists them.",
    ({ journal }) => journal?.deadLetters.rows,
  ),
  ofSite(
    "isthmus_journal_dead_letters_dropped_total",
    "Dead letters that nobody dealt with before newer ones needed their room.",
    ({ journal }) => journal?.deadLetters.dropped,
    "counter",
  ),
  ofSite(
    "isthmus_journal_conflicts_dropped_total",
    "Conflicts that left the journal because newer ones needed their room.",
    ({ journal }) => journal?.conflicts.dropped,
    "counter",
  ),
  ofSite("isthmus_log_last_sequence", "End of the site's own log.", ({ log }) => log?.lastSeq),
  ofSite(
    "isthmus_log_first_sequence",
    "Oldest record that the site's own log still holds.",
    ({ log }) => log?.firstSeq,
  ),
  ofPeer("isthmus_peer_up", "1 while heartbeats of the peer come.", ({ state }) => state === "up"),
  ofPeer(
    "isthmus_peer_silence_seconds",
    "Since the peer's last heartbeat; absent if none was heard.",
    ({ heardMsAgo }) => seconds(heardMsAgo),
  ),
  ofPeer("isthmus_clock_offset_seconds", "The peer's clock minus this site's.", ({ clock }) =>
    seconds(clock?.offsetMs),
  ),
  ofPeer(
    "isthmus_clock_offset_error_seconds",
    "The true clock offset is within this of isthmus_clock_offset_seconds.",
    ({ clock }) => seconds(clock?.errorMs),
  ),
  ofPeer(
    "isthmus_clock_alarm",
    "1 while the peer's clock is further away than limits.maxClockSkew.",
    ({ clock }) => clock?.alarm,
  ),
];

/** A cache's state is one of these; the others are 0. */
export const STATES = [
  "starting",
  "recovering",
  "scanning",
  "live",
  "held",
  "degraded",
  "unheld",
  "blocked",
] as const;

/** A bucket holds all times up to its bound. */
function holdTimes({ cache, hold }: CacheStatus): readonly Sample[] {
  if (hold === null) return [];
  let value = 0;
  const buckets = hold.holdMsCounts.map((count, i): Sample => {
    value += count;
    const bound = HOLD_BOUNDS_MS[i];
    const le = bound === undefined ? "+Inf" : String(bound / 1_000);
    return { labels: { cache, le }, value, series: "bucket" };
  });
  const sum: Sample = { labels: { cache }, value: hold.holdMsSum / 1_000, series: "sum" };
  return [...buckets, sum, { labels: { cache }, value, series: "count" }];
}

const HOLDS: readonly MetricDefinition[] = [
  ofCache(
    "isthmus_hold_waiting",
    "Writes that are on their way through the front door, or wait for their targets.",
    ({ hold }) => hold?.waiting,
  ),
  ofCache(
    "isthmus_hold_confirmed_total",
    "Writes through the front door that were answered when every target had them.",
    ({ hold }) => hold?.confirmed,
    "counter",
  ),
  ofCache(
    "isthmus_hold_degraded_total",
    "Writes through the front door that were answered although a target had not confirmed them in time.",
    ({ hold }) => hold?.degraded,
    "counter",
  ),
  ofCache(
    "isthmus_hold_failed_total",
    "Writes through the front door that were answered as failed.",
    ({ hold }) => hold?.failed,
    "counter",
  ),
  ofCache(
    "isthmus_hold_unheld_total",
    "Writes through the front door that were answered at once, because no target was to be waited for.",
    ({ hold }) => hold?.unheld,
    "counter",
  ),
  ofCache(
    "isthmus_hold_seconds_total",
    "Time from the request to the answer, of all writes that were confirmed.",
    ({ hold }) => seconds(hold?.holdMsSum),
    "counter",
  ),
  ofCache("isthmus_hold_seconds_max", "The longest of those times.", ({ hold }) =>
    seconds(hold?.holdMsMax),
  ),
  {
    name: "isthmus_hold_seconds",
    type: "histogram",
    help: "Those times, by their length.",
    labels: ["cache", "le"],
    samples: ({ caches }) => caches.filter(isHandled).flatMap(holdTimes),
  },
];

const SINGLE_USES: readonly MetricDefinition[] = [
  ofCache(
    "isthmus_single_use_at_home_total",
    "Uses of single-use keys whose home is this site, or which nobody has.",
    ({ singleUse }) => singleUse?.atHome,
    "counter",
  ),
  ofCache(
    "isthmus_single_use_granted_total",
    "Uses of single-use keys that their home granted.",
    ({ singleUse }) => singleUse?.granted,
    "counter",
  ),
  ofCache(
    "isthmus_single_use_refused_total",
    "Uses of single-use keys that were answered as failed: used elsewhere, or their home could not be asked.",
    ({ singleUse }) => singleUse?.refused,
    "counter",
  ),
  ofCache(
    "isthmus_single_use_unasked_total",
    "Uses of single-use keys that were done though their home could not be asked: they may have been used there too.",
    ({ singleUse }) => singleUse?.unasked,
    "counter",
  ),
  ofCache(
    "isthmus_single_use_granted_now",
    "Single-use keys that this site granted others, and that they have not removed yet.",
    ({ singleUse }) => singleUse?.grantedNow,
  ),
];

const CACHES: readonly MetricDefinition[] = [
  {
    name: "isthmus_cache_state",
    type: "gauge",
    help: `1 for the state that the cache is in, 0 for the others: ${STATES.join(", ")}. held, degraded and unheld are live under sync: writers wait for every target, not for all of them, for none because no front door runs.`,
    labels: ["cache", "state"],
    samples: ({ caches }) =>
      caches
        .filter(isHandled)
        .flatMap(({ cache, state }) =>
          STATES.flatMap((name) => sample({ cache, state: name }, name === state)),
        ),
  },
  ...HOLDS,
  ...SINGLE_USES,
  ofCache(
    "isthmus_gap",
    "1 while local changes of the cache may have been missed, until a scan ends.",
    ({ gap }) => gap !== null,
  ),
  ofCache("isthmus_gap_seconds", "Age of the cache's gap; 0 without one.", ({ gap }, { at }) =>
    gap === null ? 0 : Math.max(0, at - gap.since) / 1000,
  ),
  ofCache(
    "isthmus_paused",
    "1 while an operator has paused the cache here: nothing that other sites wrote is applied.",
    ({ pausedSince }) => pausedSince !== null,
  ),
  ofCache(
    "isthmus_dirty_keys",
    "Keys that are known to differ from the ledger and are being captured.",
    ({ dirty }) => dirty,
  ),
  ofCache(
    "isthmus_outbox_mutations",
    "Changes that are not in the site's own log yet.",
    ({ outbox }) => outbox.rows,
  ),
  ofCache("isthmus_outbox_bytes", "Bytes of these changes.", ({ outbox }) => outbox.bytes),
  ofCache("isthmus_outbox_age_seconds", "Age of the oldest of these changes.", ({ outbox }) =>
    outbox.oldestMs === null ? 0 : outbox.oldestMs / 1000,
  ),
  counted("gaps", "Times that local changes may have been missed, the start among them.", "gaps"),
  counted("listener_events", "Events of the cache's listener.", "events"),
  counted("capture_reads", "Reads that capture made.", "captureReads"),
  counted("captured_puts", "Local writes that got a version.", "capturedPuts"),
  counted("captured_removes", "Local removes that got a version.", "capturedRemoves"),
  counted("conflated", "Changes that a later one of the same key replaced unsent.", "conflated"),
  counted("expired", "Entries that expired here.", "expired"),
  counted("absences", "Keys found without a copy and fetched from the peers.", "absences"),
  counted("idle_asked", "Keys that went idle and that the peers were asked about.", "idleAsked"),
  counted("idle_put_back", "Of these, those that a client of a peer uses.", "idlePutBack"),
  counted("idle_expired", "Of these, those that ended here.", "idleExpired"),
  counted("idle_unanswered", "Of these, ended though a peer did not answer.", "idleUnanswered"),
  counted("lagging_reads", "Reads that a lagging replica answered.", "laggingReads"),
  counted("oversized", "Values above limits.maxValueBytes, set aside.", "oversized"),
  counted("echoes_by_event", "Own applies recognised by their event.", "echoesByEvent"),
  counted("echoes_by_read", "Own applies recognised by a read.", "echoesByRead"),
  counted("published_batches", "Batches that the own log acknowledged.", "publishedBatches"),
  counted("published_mutations", "Mutations that the own log acknowledged.", "publishedMutations"),
  counted("published_bytes", "Bytes that the own log acknowledged.", "publishedBytes"),
  counted("publish_retries", "Failed attempts to publish, tried again.", "publishRetries"),
  counted("applied_writes", "Arriving versions written to the cache.", "appliedWrites"),
  counted("applied_kept", "Arriving versions kept without a write.", "appliedKept"),
  counted("applied_covered", "Arriving versions seen before.", "appliedCovered"),
  counted("apply_lost_races", "Applies that lost to a local write and began anew.", "lostRaces"),
  counted("apply_retries", "Failed attempts of an apply, tried again.", "applyRetries"),
  counted("unknown_outcomes", "Cache writes without an answer, read again.", "unknownOutcomes"),
  counted("intents_matched", "Of these, those found done.", "intentsMatched"),
  counted("conflicts", "Keys that got concurrent versions.", "conflicts"),
];

const LINKS: readonly MetricDefinition[] = [
  ofCache(
    "isthmus_tombstones_dropped_total",
    "Tombstones that were dropped.",
    ({ tombstonesDropped }) => tombstonesDropped.all,
    "counter",
  ),
  ofCache(
    "isthmus_tombstones_forced_total",
    "Of these, those dropped while a site was refused, which may not have applied them.",
    ({ tombstonesDropped }) => tombstonesDropped.forced,
    "counter",
  ),
  ofCache(
    "isthmus_resync_running",
    "1 while the cache is compared with another site's, to repair a gap or because an operator asked.",
    ({ resync }) => resync && resync.running !== null,
  ),
  ofCache(
    "isthmus_resync_compared_keys",
    "Keys of this site that the resync at work has compared. Absent while none is.",
    ({ resync }) => resync?.running?.compared,
  ),
  ofCache(
    "isthmus_gaps_repaired_total",
    "Gaps toward other sites that a resync closed.",
    ({ resync }) => resync?.repaired,
    "counter",
  ),
  ofCache(
    "isthmus_resync_received_total",
    "Entries that resyncs brought from other sites.",
    ({ resync }) => resync?.received,
    "counter",
  ),
  ofCache(
    "isthmus_resync_sent_total",
    "Entries that resyncs of this site sent to others.",
    ({ resync }) => resync?.sent,
    "counter",
  ),
  ofTarget(
    "isthmus_target_online",
    "1 while the target counts; 0: an operator or limits.takeOffline took it offline, so nobody waits for it.",
    ({ offline }) => offline === null,
  ),
  ofTarget(
    "isthmus_at_risk_mutations",
    "Data at risk: changes that the target has not confirmed, lost if this site died now.",
    ({ atRisk }) => atRisk.mutations,
  ),
  ofTarget("isthmus_at_risk_bytes", "Bytes of these changes.", ({ atRisk }) => atRisk.bytes),
  ofTarget(
    "isthmus_at_risk_age_seconds",
    "Age of the oldest of these changes: the recovery point if this site died now.",
    ({ atRisk }) => atRisk.ageMs / 1000,
  ),
  ofTarget(
    "isthmus_at_risk_is_at_least",
    "1 while an earlier run's changes are unconfirmed too and not in these figures.",
    ({ atRisk }) => atRisk.isAtLeast,
  ),
  ofTarget(
    "isthmus_confirmed_sequence",
    "Sequence of the own log up to which the target applied the cache.",
    ({ confirmedSeq }) => confirmedSeq,
  ),
  ofOrigin(
    "isthmus_receiving",
    "1 while the origin's changes are received; 0: waiting, stalled or blocked.",
    ({ state }) => state === "receiving",
  ),
  ofOrigin(
    "isthmus_applied_sequence",
    "Sequence of the origin's log up to which the cache is applied here.",
    ({ position }) => position,
  ),
  ofOrigin("isthmus_mirror_last_sequence", "End of the origin's mirror here.", (o) => o.mirrorEnd),
  ofOrigin(
    "isthmus_lag_seconds",
    "From the writer's change at the origin to its apply here, of the newest one.",
    ({ lagMs }) => seconds(lagMs?.last),
  ),
  ofOrigin("isthmus_lag_mean_seconds", "The same, mean since the process started.", ({ lagMs }) =>
    seconds(lagMs?.mean),
  ),
  ofOrigin(
    "isthmus_peer_gap",
    "1 while changes of the origin may have been missed.",
    ({ gap }) => gap !== null,
  ),
  ofOrigin("isthmus_received_mutations_total", "Mutations read.", (o) => o.mutations, "counter"),
  ofOrigin("isthmus_received_bytes_total", "Bytes read.", (o) => o.bytes, "counter"),
  ofOrigin(
    "isthmus_refused_site",
    "1 while nothing of the origin is taken, because it was away for longer than limits.tombstones.maxAge and has to be re-seeded.",
    ({ refusedSince }) => refusedSince !== null,
  ),
  ofOrigin(
    "isthmus_voided_mutations_total",
    "Mutations that the origin made before it was re-seeded, left out here.",
    ({ voided }) => voided,
    "counter",
  ),
  ofOrigin(
    "isthmus_refused_batches_total",
    "Batches that must not be in that log, not applied.",
    ({ refused }) => refused,
    "counter",
  ),
  ofOrigin("isthmus_receive_retries_total", "Applies tried again.", (o) => o.retries, "counter"),
  ofOrigin(
    "isthmus_counter_gaps_total",
    "Times that batches were found missing from the origin's log.",
    ({ counterGaps }) => counterGaps,
    "counter",
  ),
  ofOrigin(
    "isthmus_dead_letters_total",
    "Mutations of the origin that could not be applied and were set aside.",
    ({ deadLetters }) => deadLetters,
    "counter",
  ),
];

/** Every metric of Isthmus itself, in the order of the documentation; the process's own come from the client library. */
export const METRICS: readonly MetricDefinition[] = [...SITE, ...CACHES, ...LINKS];
