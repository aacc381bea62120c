/** Every bound of the system, in one place, each with its reason. Units come last in the names. */

/** Largest value that is replicated, unless the file says otherwise: well above any session, well below NATS's 1 MiB `max_payload` default once two share a batch. */
export const VALUE_BYTES_MAX = 1024 * 1024;

/** Largest Hot Rod frame that is decoded: a value at the limit, its key and header, and room for a getAll. Checked before allocating. */
export const HOT_ROD_FRAME_BYTES_MAX = 64 * 1024 * 1024;

/** Most items of one list in a Hot Rod frame. An item of one byte on the wire takes a hundred or more in memory, so that the bytes alone bound too little. */
export const HOT_ROD_LIST_ITEMS_MAX = 1024 * 1024;

/** Ahead of wall time, how far dots are reserved on disk at once: also how far a restart after a crash can begin ahead of it, so short. */
export const DOT_RESERVE_MS = 1000;

/** One record must be stored and confirmed by the site's own log within this; a fsync takes ms, a leader election of an R3 log 4 to 9 s. */
export const LOG_PUBLISH_TIMEOUT_MS = 10_000;
/** How long the log knows message ids, which the server keeps in memory; a record sent again later is stored twice, which targets recognise by its counter. */
export const LOG_DUPLICATE_WINDOW_MS = 120_000;

/** Records in one pull from a mirror: well above what gathers during a local round trip. */
export const MIRROR_READ_RECORDS_MAX = 512;
/** Bytes in one pull from a mirror, and so in memory for each reader; above the largest `max_payload` in use (1 MiB by default, 8 MiB advised at most). */
export const MIRROR_READ_BYTES_MAX = 8 * 1024 * 1024 + 64 * 1024;
/** The server closes a pull that found nothing after this; the reader asks again. */
export const MIRROR_READ_EXPIRES_MS = 5_000;
/** While a pull waits the server says so this often (the server's minimum is 100 ms). */
export const MIRROR_READ_HEARTBEAT_MS = 500;
/** So many silent heartbeats, and the reader's consumer is taken for lost and made anew. */
export const MIRROR_READ_HEARTBEATS_MISSED_MAX = 3;
/** A reader's consumer that nobody pulls from is dropped by the server after this: a crashed process leaves nothing behind. */
export const MIRROR_READER_IDLE_MS = 60_000;
/** How often a mirror and its durable consumer at the origin are checked, and their making is retried while the origin is away. */
export const MIRROR_CHECK_MS = 5_000;
/** Unconfirmed records on the way to a mirror: 50,000 records/s at a round trip of 200 ms. */
export const MIRROR_PENDING_RECORDS_MAX = 10_000;
/** A mirror that does not move toward the origin's announced end for this long is a stall. */
export const MIRROR_STALL_MS = 5_000;

/** Requests to JetStream's own API of this site, and of a peer over the link. */
export const JETSTREAM_REQUEST_TIMEOUT_MS = 5_000;
/** Bounds of the wait between two tries of anything in the link; doubled each time, with jitter. */
export const LINK_RETRY_MIN_MS = 100;
export const LINK_RETRY_MAX_MS = 5_000;
/** A NATS connection without an answer to so many pings is dead: noticed within 6 s, where the client's default takes 4 min. */
export const NATS_PING_MS = 2_000;
export const NATS_PINGS_UNANSWERED_MAX = 2;

/** A lease is good for this long after the start of its last renewal: longer than a leader election (4 to 9 s) and an operation timeout together. */
export const LEASE_TTL_MS = 15_000;
/** An active process renews this often: three tries may fail before the lease runs out. */
export const LEASE_RENEW_MS = 3_000;
/** One write of the lease is given up after this: four fit into a lease. */
export const LEASE_WRITE_TIMEOUT_MS = 3_000;
/** A lease must last longer than this for an operation on the cache to begin: nearly all are over by then, see CACHE_OPERATION_TIMEOUT_MS. */
export const CACHE_OPERATION_MS = 2_500;
/** A successor waits this much beyond the lease's end: clocks of two machines run at slightly different speeds. */
export const LEASE_MARGIN_MS = 500;

/** Between two heartbeats of a site. */
export const BEAT_INTERVAL_MS = 250;
/** A peer without a heartbeat for this long is shown as silent: eight were lost in a row. */
export const PEER_SILENT_MS = 2_000;
/** A target that the take-offline rule took is to be level for this long before it counts again: forty heartbeats. */
export const ONLINE_STEADY_MS = 10_000;
/** A target is level while it confirms everything within this: many round trips, few heartbeats. */
export const LEVEL_LAG_MS = 2_000;
/** Largest heartbeat that is read: 1,000 caches with 15 peers; checked before decoding. */
export const BEAT_BYTES_MAX = 1024 * 1024;
/** Between two clock pings to each peer. */
export const CLOCK_PING_INTERVAL_MS = 1_000;
/** A clock ping without an answer in this time is no sample. */
export const CLOCK_PING_TIMEOUT_MS = 2_000;
/** Clock pings that are kept; the one with the shortest round trip counts. */
export const CLOCK_SAMPLES_MAX = 16;
/** A clock ping during which the wall clock and the monotonic clock disagree by more than this met a jump of the wall clock. */
export const CLOCK_JUMP_MS = 5;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const KIB = 1024;
const GIB = KIB * KIB * KIB;

/**
 * What the numbers in the file may be: default, least and most, bounds included.
 *
 * - `holdMs`: the Java client gives up at 2,000 ms and sends the write again, so the default answers before; below 10 ms no link
 *   between sites can confirm, beyond 60 s every client is gone.
 * - `logMaxAgeMs`: the longest absence of a site that needs no resync; a month of log is a backup, not a log.
 * - `logMaxBytes`: below 64 MiB a few seconds of cut already trim; beyond 16 TiB no single disk holds a log and its mirrors.
 * - `afterFailures`: 0 counts none. `afterSilenceMs`: well above a few heartbeats of 250 ms, else a hiccup is an outage.
 * - `tombstonesMaxAgeMs`: must outlive an absence, else the absent site must be seeded anew.
 * - `maxClockSkewMs`: below 10 ms NTP alone alarms; beyond a minute last-writer-wins means nothing.
 * - `maxValueBytes`: two values share a batch, and NATS refuses payloads above 64 MiB.
 */
export const FILE_RANGES = {
  holdMs: { byDefault: 1_500, min: 10, max: MINUTE_MS },
  logMaxAgeMs: { byDefault: DAY_MS, min: MINUTE_MS, max: 30 * DAY_MS },
  logMaxBytes: { byDefault: 8 * GIB, min: 64 * KIB * KIB, max: 16 * KIB * GIB },
  afterFailures: { byDefault: 0, min: 0, max: 1_000_000 },
  afterSilenceMs: { byDefault: 30_000, min: 1_000, max: HOUR_MS },
  tombstonesMaxAgeMs: { byDefault: 7 * DAY_MS, min: HOUR_MS, max: 365 * DAY_MS },
  maxClockSkewMs: { byDefault: 500, min: 10, max: MINUTE_MS },
  maxValueBytes: { byDefault: VALUE_BYTES_MAX, min: KIB, max: 16 * KIB * KIB },
} as const;

/** Largest `isthmus.yaml`: hundreds of sites and rules fit in a fraction of it. */
export const FILE_BYTES_MAX = 1024 * 1024;

/** Keys of one cache that capture reads side by side: enough to keep one connection busy at 0.5 ms a read, few enough to stay fair. */
export const CAPTURE_IN_FLIGHT_MAX = 256;
/** Failures in a row after which capture says so: a single timeout is none of anybody's business. */
export const CAPTURE_FAILURES_TOLD = 8;
/** Without as many failures in a row for this long the next ones are another outage, ms. */
export const CAPTURE_CALM_MS = 60_000;

/** How long a key is read again because its answers do not fit its events, before the whole cache is scanned, ms. */
export const LAGGING_READ_MS_MAX = 1_000;

/** Keys whose last states are remembered for that long: 20,000 changes a second of one cache; beyond it the oldest go, about 8 MB. */
export const PAST_STATES_MAX = 20_000;

/** Dirty keys that a cache may gather before it falls into a gap: about 64 MB at 300 bytes a mark (I12). */
export const DIRTY_KEYS_MAX = 200_000;

/** Largest PBKDF2 work a cache server may ask of a SCRAM login: half a second of this process; Infinispan asks 4,096. */
export const SCRAM_ITERATIONS_MAX = 1_000_000;
/** Messages of one SASL exchange; the longest mechanism needs three. */
export const SASL_STEPS_MAX = 8;
/** Client connections of one front door: each has a socket on either side, and a process may open 1,024 files by default on many systems; see LimitNOFILE of the unit. */
export const DOOR_CONNECTIONS_MAX = 10_000;
/** Requests of one client connection that are not answered, held writes included: beyond it the client is not read. */
export const DOOR_REQUESTS_MAX = 4_096;
/** Prepared transactions whose caches a front door remembers: a commit names none. Beyond it one waits for all caches. */
export const PREPARED_MAX = 4_096;
/** Answers or requests of one turn that are copied into one buffer to leave together; what is longer in all leaves uncopied, in one system call with many parts. */
export const DOOR_JOINED_BYTES_MAX = 64 * 1024;
/** Values that one client connection sends in parts at once. */
export const DOOR_STREAMS_MAX = 256;
/** After so long without a byte the kernel asks whether the other end is still there: a machine that went away says nothing, and its connections would stay for ever. */
export const DOOR_SILENT_MS_MAX = 60_000;
/** A client whose connection to a cache server is not made within this is sent away: it tries again, elsewhere perhaps. */
export const DOOR_CONNECT_MS_MAX = 2_000;
/** A front door opens once every cache whose writers wait is listened to or missing, or after this: one that cannot be used must not keep the others' clients out. */
export const DOOR_OPEN_MS_MAX = 10_000;
/** When a site stops, a front door ends its connections after this at the latest: longer than any usual hold. */
export const DOOR_CLOSE_MS_MAX = 5_000;
/** How often a cache whose holds are degraded is looked at: its writers wait again once its targets are level. */
export const HOLD_RETURN_MS = 250;
/** How often it is looked whether a gap in Keycloak's `work` has closed, and the first wait before a Keycloak that failed is asked again. */
export const KEYCLOAK_LOOK_MS = 500;
/** The longest of those waits. */
export const KEYCLOAK_RETRY_MS_MAX = 30_000;
/** One request to a Keycloak. */
export const KEYCLOAK_TIMEOUT_MS = 10_000;
/** Uses of single-use keys that a home grants, or is asked for, at once in one cache. */
export const CLAIMS_MAX = 10_000;
/** How often a home looks whether the remove of a key that it granted has arrived. */
export const CLAIM_LOOK_MS = 5;
/** A home keeps a key for whom it granted it for so long: its client may have been told of the use while the link was cut. */
export const CLAIM_MS_MAX = 600_000;
/** The same where that client is told only of what the home has confirmed: so long beyond the budget. */
export const CLAIM_UNUSED_MS_MAX = 5_000;
/** Batches that are remembered with the outbox rows they carried: those of some 10 s at the highest rate. */
export const HOLD_BATCHES_MAX = 8_192;

/** Connections that carry operations to each cache server, all multiplexed: one busy core here, two for what one slow reply holds up. */
export const CACHE_CONNECTIONS_PER_SERVER = 2;
/** Operations without an answer on one connection; beyond it callers wait their turn, so that memory stays bounded. */
export const CACHE_IN_FLIGHT_MAX = 512;
/** A cache operation without an answer for this long counts as unknown; the Java client's own patience is 2 s. */
export const CACHE_OPERATION_TIMEOUT_MS = 5_000;
/** A cache server must accept a connection, and answer each step of the handshake, within this. */
export const CACHE_CONNECT_TIMEOUT_MS = 3_000;
/** A cache connection from which nothing came for this long is asked (PING), ... */
export const CACHE_PING_AFTER_MS = 1_500;
/** ... and is dead if it stays silent for this long more: a dead server is noticed within 5 s. */
export const CACHE_PING_TIMEOUT_MS = 2_500;
/** Bounds of the wait before a cache server that failed is tried again; doubled each time, with jitter. */
export const CACHE_RETRY_MIN_MS = 100;
export const CACHE_RETRY_MAX_MS = 5_000;
/** Bounds of the wait before a cache server that answered "not ready" is asked again: clients hold up its joining of the cluster. */
export const CACHE_NOT_READY_MIN_MS = 1_000;
export const CACHE_NOT_READY_MAX_MS = 15_000;
/** A cache server that comes back answers the probe within this, or is not ready: one that works takes milliseconds. */
export const CACHE_PROBE_TIMEOUT_MS = 1_000;
/** Entries in one batch of an iteration: with values of some KiB a few MiB, far below HOT_ROD_FRAME_BYTES_MAX. */
export const CACHE_SCAN_BATCH = 1_000;

/** Attempts of one apply that may lose to local writes of the same key in a row before it goes back to the queue. */
export const APPLY_RACES_MAX = 16;

/** How long a cache write without an answer may still be done, ms: a server that hung answers its queue within its clients' retries. */
export const UNKNOWN_WRITE_MS = 60_000;

/** Keys with such writes that are remembered: the oldest go first, after 40 s of 256 timeouts at once. */
export const UNKNOWN_WRITES_MAX = 2_048;
/** Keys that were given a copy, and whose event of that is still to come: so many are remembered. */
export const GIVEN_COPIES_MAX = 10_000;

/** Mutations in one batch: beyond it a target's window would be filled by one message. */
export const BATCH_ROWS_MAX = 512;

/** Sequences before the end of the own log among which a cache's last batch is looked for when its subject ends with a stranger's record: each record is a round trip. */
export const LOG_STRAYS_MAX = 1_024;

/** Bytes of records in one batch: below NATS's default `max_payload` of 1 MiB together with one value that goes over it. */
export const BATCH_BYTES_MAX = 256 * 1024;

/** Longest pause between two tries of something that is tried for ever, ms. */
export const RETRY_MS_MAX = 5_000;
/** Shortest one: nobody who writes to a cache that is missing has it asked for more often. */
export const RETRY_MS_MIN = 50;

/** Keys, and share of the live keys, that a scan may find missing and still take for deleted one by one. */
export const ABSENCES_MAX = 100;
export const ABSENCES_RATIO_MAX = 0.05;

/** Rows of the ledger that are looked at before others get a turn. */
export const LEDGER_PAGE_ROWS = 500;

/** Deepest nesting of arrays in a log record: record, batch, mutation, context make 4. */
export const PLAIN_DEPTH_MAX = 6;

/** How long a stopping process captures and publishes what is left, ms; beyond it the next start finds it by a scan. */
export const DRAIN_MS_MAX = 10_000;
/** Two start times of one cache server's run differ by less: it tells whole seconds, and an answer takes a while. A restart takes longer. */
export const CACHE_RUN_TOLERANCE_MS = 2_500;
/** How often a cache is asked which servers it has, ms: faster than one restart of a rolling restart, rare enough to cost nothing. */
export const CACHE_RUNS_INTERVAL_MS = 2_000;

/** Keys of one cache of one origin that are applied side by side: as many as keep the cache's connections busy. */
export const APPLY_KEYS_MAX = 256;

/** Mutations of one cache of one origin that are held in memory: two full batches wait behind the one at work (I12). */
export const APPLY_ITEMS_MAX = 1_536;

/**
 * How long a start after an unclean end waits to hear of an origin whose mirror was made anew meanwhile. Then the site goes on:
 * what it wrote from that mirror last may count as a change of its own, which is better than to capture nothing while a peer is away.
 */
export const RECOVERY_UNHEARD_MS_MAX = 60_000;

/**
 * Values that the logs told of while a lost ledger is rebuilt, remembered until a scan has ended: about 60 MiB. Beyond it what
 * the scan finds gives way to what is known, as where the logs were trimmed.
 */
export const TOLD_VALUES_MAX = 500_000;

/** Interleavings of one key's logs that an unclean start looks at for merged values: two logs with 60 versions each within an apply bound. */
export const RECOVERED_STATES_MAX = 4_096;

/** Sequences that an apply bound reserves ahead, so that one fsync serves many: an unclean start looks at no more. */
export const APPLY_BOUND_BATCHES = 512;

/** Ranges that an applied position names beyond its prefix: one stuck key must not hold up every writer. */
export const POSITION_RANGES_MAX = 64;
/** Batches that an applied position names as passed and not applied: more than come between two heartbeats where writers wait. */
export const POSITION_ASIDE_MAX = 64;

/** Failures of one mutation, and the time they must span (ms), before it is set aside as a dead letter. */
export const DEAD_LETTER_FAILURES = 5;
export const DEAD_LETTER_MS = 30_000;

/** Keys in one question for absent ones: a page keeps the local cache busy for a few ms. */
export const FETCH_KEYS_MAX = 512;

/** How often one key's copy from a peer may be gone again without an event before its cache counts as one that evicts: a node that dies takes copies once. */
export const REFILLS_LOST_MAX = 3;
/** Within this time, ms: losses that lie further apart are no loop. */
export const REFILLS_LOST_MS = 600_000;
/** Keys that are watched for it: of a cache that evicts, some of any thousand are gone again soon. */
export const REFILLED_KEYS_MAX = 1_000;
/** How long after that an event may still tell why, ms: a server may collect garbage for seconds. */
export const LATE_EVENT_MS_MAX = 10_000;
/** How long a cache that lost an entry without an event is taken for one that may do so again, ms. */
export const UNTOLD_LOSS_MS = 24 * 3_600_000;

/** Longest pause until keys that no peer had a copy of are asked for again, ms: each time costs a walk through the ledger. */
export const FETCH_AGAIN_MS_MAX = 30_000;

/** Bytes of values in one answer: NATS's default `max_payload` is 1 MiB, and one value may go over this. */
export const FETCH_BYTES_MAX = 512 * 1024;

/** How long a peer may take to answer a question for absent keys, ms. */
export const FETCH_TIMEOUT_MS = 5_000;

/** How long keys that went idle are gathered before the peers are asked about them together, ms: one look at the peer's cache serves all. */
export const IDLE_GATHER_MS = 1_000;

/** Keys in one question about idle ones: as many as are fetched at once. */
export const IDLE_KEYS_MAX = 512;

/** How long a peer may take to answer it, ms: it iterates its whole cache, and waits for its turn. */
export const IDLE_TIMEOUT_MS = 60_000;

/** After an iteration that answered such questions the next one waits this many times as long as it took: a tenth of one server thread. */
export const IDLE_LOOK_REST_RATIO = 9;

/** How long an idle key waits for peers that do not answer, ms: longer than a restart or an election, shorter than a session's worth. */
export const IDLE_UNANSWERED_MS_MAX = 5 * 60_000;

/** Idle keys of one cache that wait in memory; those beyond it are found in the ledger later (I12). */
export const IDLE_WAITING_MAX = 50_000;

/** Touches by Isthmus itself that are remembered, one a key, about 30 MB: one that was forgotten looks like a client's, so its entry lives longer. */
export const OWN_USES_MAX = 200_000;

/** A use this close to a touch by Isthmus itself is that touch, ms: the nodes of a cluster stamp with their own clocks. */
export const OWN_USE_TOLERANCE_MS = 1_000;

/** Least `max_payload` of a site's NATS server: the most that NATS advises, so that batches never meet the 1 MiB default. */
export const NATS_PAYLOAD_BYTES_MIN = 8 * 1024 * 1024;

/** Disk that a site's JetStream may use beside the logs: the site's bucket and the streams' own bookkeeping. */
export const NATS_SPARE_BYTES = 256 * 1024 * 1024;

/** Bytes waiting to be sent to one client of the embedded cache, beyond which its requests are read no more until it has read its answers. */
export const EMBEDDED_OUTPUT_PAUSE_BYTES = 1024 * 1024;

/** The same, beyond which the client is cut off: a listener that does not read would keep every event in memory. Infinispan 16.2 does so at 512 events. */
export const EMBEDDED_OUTPUT_BYTES_MAX = 128 * 1024 * 1024;

/** Iterations that one client of the embedded cache may have open: each keeps a list of the cache's keys. */
export const EMBEDDED_ITERATIONS_MAX = 64;

/** Entries of one iteration batch of the embedded cache, whatever the client asked for. */
export const EMBEDDED_BATCH_MAX = 10_000;

/** How often the embedded cache looks for expired entries that nobody asked for. Infinispan's default is a minute; a demo should not wait. */
export const EMBEDDED_REAP_MS = 1_000;

/** Address space for the ledger's file, 16 GiB: it need not be mapped anew as it grows, and memory is used only for what is read. LMDB grows it beyond. */
export const LEDGER_MAP_BYTES = 16 * 1024 * 1024 * 1024;

/** The ledger refuses to write with less free on its disk: room to shut down in order, and for what others write between the look and the write. */
export const LEDGER_FREE_BYTES_MIN = 16 * 1024 * 1024;

/** What one row can make the ledger's file grow by, its own bytes aside: a page for each level of a large tree. */
export const LEDGER_ROW_GROWTH_BYTES = 4 * 4096;

/** So much that is journalled is worth a transaction of LMDB. More would hold up the thread that fills it; with less, rows that soon go are written, and more of the tree than of the rows. */
export const LEDGER_CHECKPOINT_BYTES = 512 * 1024;

/** Commits wait while more than this is journalled and not yet in LMDB, about 2,500 changes. It bounds what one transaction copies of the tree: with 8 MiB a load of a million keys took half as long again, and as much again of the file was free pages. */
export const LEDGER_PENDING_BYTES_MAX = 2 * 1024 * 1024;

/** A file of the ledger's journal ends at this, unless one commit is larger: LMDB mostly contains it before the disk is asked to take it. */
export const LEDGER_SEGMENT_BYTES = 4 * 1024 * 1024;

/** Longer keys are kept under their hash: LMDB takes 1,978 bytes, and a page should hold several keys. */
export const LEDGER_KEY_BYTES_MAX = 1024;

/** What Linux and macOS take as the path of a socket, the shorter of the two. */
export const SOCKET_PATH_BYTES_MAX = 104;

/** Batches of one cache that are remembered one by one until a target confirmed them; beyond it they are counted together. */
export const UNCONFIRMED_BATCHES_MAX = 4_096;

/** Longest time that an applied position waits before it is announced when no writer waits for it, ms. */
export const APPLIED_INTERVAL_MS = 50;

/** Rows of each kind that a site's journal keeps: the oldest go first. */
export const JOURNAL_ROWS_MAX = 10_000;
/** Bytes of each kind in a site's journal, on disk: what lost a conflict is kept so long that it can be put back. */
export const JOURNAL_BYTES_MAX = 64 * 1024 * 1024;

/** How long a command that wrote to the cache waits until that is captured, ms: it mostly takes a few; a cache in a gap is scanned first. */
export const CAPTURE_WAIT_MS = 3_000;

/** How often the ledger notes that a cache had no gap, ms: what a later scan finds is dated no earlier than this. */
export const ALIVE_INTERVAL_MS = 1_000;

/** How often the local Infinispan is asked for caches that a pattern takes, ms. */
export const CACHE_NAMES_INTERVAL_MS = 10_000;

/** A client of the HTTP endpoints must have sent its whole request within this: the answers need no body. */
export const HTTP_REQUEST_MS_MAX = 5_000;
/** A stopping process lets HTTP requests that are at work end for this long, then cuts them: all are answered from memory. */
export const HTTP_CLOSE_MS_MAX = 1_000;

/** How long a site may take to answer a question for its status: its answer comes from memory, the way may be a WAN. */
export const STATUS_TIMEOUT_MS = 3_000;
/** Largest status that is unpacked: 1,000 caches with 15 peers each make 10 MB. */
export const STATUS_BYTES_MAX = 64 * 1024 * 1024;

/** Largest question of an operator's command: a key and what is asked of it. */
export const CONTROL_QUESTION_BYTES_MAX = 1024 * 1024;
/** Largest answer to one that is unpacked. */
export const CONTROL_ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** How long a site may take to answer a question that it answers from its ledger, its cache or its log. */
export const CONTROL_TIMEOUT_MS = 15_000;

/** A sample of the times at which a position moved is kept so often, ms, ... */
export const APPLIED_TIMES_MS = 1_000;
/** ... and so many of them for each cache and origin: an hour under steady load, 64 KiB. */
export const APPLIED_TIMES_MAX = 4_096;

/** Records that a trace reads to find one version in a log: each is a round trip to the site's own NATS server, so about 2 s. */
export const TRACE_RECORDS_MAX = 4_096;
/** How far before a version's dot the log is read, ms: the clocks of a site's machines agree within seconds; else from further back. */
export const TRACE_CLOCK_SLACKS_MS = [2_000, 60_000, 3_600_000] as const;

/** Rows of the journal in one answer, and bytes of them: above it a filter is due, and NATS's default `max_payload` is 1 MiB. */
export const JOURNAL_ANSWER_ROWS_MAX = 500;
export const JOURNAL_ANSWER_BYTES_MAX = 512 * 1024;

/** A line that says the same as one within this time is counted instead of written, ms. */
export const LOG_REPEAT_MS = 10_000;
/** Different lines that are remembered for that; beyond it lines are written as they come. */
export const LOG_REPEATS_MAX = 1_000;

/** How long a starting process waits for its NATS before it gives up with an error, ms: a supervisor starts it again. */
export const NATS_START_WAIT_MS = 60_000;

/** Shortest time between two rounds of dropping a cache's tombstones, ms: a round looks at every row of the cache. */
export const TOMBSTONE_ROUND_MS = 60_000;

/** A site that seems to be away for too long is refused only after this of looking, ms: one that is there shows it in seconds. */
export const OVERDUE_STEADY_MS = 60_000;

/** How often the ledger notes up to when a site has applied all, ms: a restart forgets no more of its presence than this. */
export const PRESENCE_NOTE_MS = 60_000;

/** Rows that a resync compares by one digest: few enough that one key that differs costs little, many enough that digests are few. */
export const RESYNC_RANGE_ROWS = 256;

/** Keys of a range that differs are told apart in buckets of about so many, and of at most so many buckets a range. */
export const RESYNC_BUCKET_ROWS = 4;
export const RESYNC_BUCKETS_MAX = 64;

/** Digests in one question of a resync: 8,192 rows a round trip, so a million keys take 120. */
export const RESYNC_RANGES_MAX = 32;

/** Rows that a peer looks at for one such question, whatever it has there: about 50 ms of work, in slices. */
export const RESYNC_ROWS_MAX = 16_384;

/** Keys whose versions are compared, or that are merged side by side, at once: they share a sync of the disk. */
export const RESYNC_KEYS_MAX = 256;

/** Bytes of keys in one listing: below NATS's default `max_payload` of 1 MiB with one long key over it. */
export const RESYNC_LIST_BYTES_MAX = 384 * 1024;

/** How long a peer may take to answer a question of a resync, ms: it may have to write RESYNC_KEYS_MAX entries. */
export const RESYNC_TIMEOUT_MS = 15_000;

/** Entries, and bytes of values, that one resync exchanges in a second: live traffic needs the rest of cache, disk and link. */
export const RESYNC_ENTRIES_PER_S_MAX = 5_000;
export const RESYNC_BYTES_PER_S_MAX = 32 * 1024 * 1024;

/** Keys whose value was being written when a resync came by, remembered until its end; with more it begins again (I12). */
export const RESYNC_LEFT_MAX = 10_000;

/** Looks at these before a resync gives up and begins again later. */
export const RESYNC_LEFT_ROUNDS = 8;

/** Resyncs at work at once in one process: the others wait their turn. */
export const RESYNC_RUNS_MAX = 2;

/**
 * Small buffers are cut from blocks of this size: Node's own 8 KiB made a sixth of the CPU time of a mutation, for each block
 * is an allocation that the collector tracks. Nothing that lives for long may keep a slice of one.
 */
export const BUFFER_POOL_BYTES = 64 * 1024;

/** Longest pause before a gap toward a peer is tried to be repaired again, ms: each try starts with one small question. */
export const RESYNC_AGAIN_MS_MAX = 10_000;

/** Jobs of operators that run at once at one site, and that are remembered with the ended ones. */
export const JOBS_RUNNING_MAX = 4;
export const JOBS_KEPT_MAX = 32;

/** Keys that one comparison of contents names, and that are looked at one by one: more than an operator reads. */
export const AUDIT_KEYS_MAX = 10_000;

/** Keys whose content a site tells in one answer: each is read from its cache. */
export const INSPECT_KEYS_MAX = 256;

/** Between two looks at the keys that differ, ms: what is in flight between two sites arrives within it, mostly. */
export const VERIFY_LOOK_MS = 1_000;
/** Looks at keys that differ and change meanwhile, before they are left out as busy. */
export const VERIFY_LOOKS_MAX = 6;
/** Expiries of one entry at two sites may differ by this, ms: each site's cache has whole seconds, and clocks are estimated. */
export const VERIFY_EXPIRY_TOLERANCE_MS = 1_600;

/** Between two looks at a job's progress, ms. */
export const JOB_LOOK_MS = 250;
/** `isthmus pause` waits so long for what was begun before it answers, ms: well below its own time-out. */
export const PAUSE_WAIT_MS = 2_000;

/** A resync that an operator asked for is tried again so often without any progress before it fails. */
export const RESYNC_TRIES_MAX = 6;

/** The schema that a merge decodes with is looked at again after a failure, at most so often, ms: keys that fail are tried each second. */
export const SCHEMA_LOOK_MS = 1_000;
