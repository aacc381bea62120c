import type {
  CacheStatus,
  OriginStatus,
  SiteStatus,
  TargetStatus,
} from "../../../deploy/status/site-status.ts";

/** A sound status of nyc beside lon, with one cache; tests change what they are about. */
export const soundStatus = (changes: Partial<SiteStatus> = {}): SiteStatus => ({
  site: "nyc",
  state: "active",
  version: "1.2.3",
  host: "mx1",
  pid: 4711,
  startedAt: 1_000_000,
  at: 1_300_000,
  term: 3,
  leaseMsLeft: 12_000,
  natsConnected: true,
  keycloak: null,
  frontDoor: null,
  log: { stream: "ISTHMUS_OUT_NYC", incarnation: "a1", firstSeq: 1, lastSeq: 90 },
  peers: [
    {
      site: "lon",
      state: "up",
      heardMsAgo: 120,
      term: 2,
      clock: { offsetMs: -1.5, errorMs: 0.4, alarm: false },
    },
  ],
  caches: [soundCache()],
  conflicts: 0,
  deadLetters: 0,
  journal: {
    conflicts: { rows: 2, bytes: 1_060, dropped: 0 },
    deadLetters: { rows: 0, bytes: 0, dropped: 0 },
  },
  problems: [],
  ...changes,
});

/** A sound cache. */
export const soundCache = (changes: Partial<CacheStatus> = {}): CacheStatus => ({
  cache: "carts",
  localName: "carts",
  mode: "async",
  state: "live",
  why: null,
  code: null,
  gap: null,
  pausedSince: null,
  dirty: 0,
  outbox: { rows: 0, bytes: 0, oldestMs: null },
  targets: [soundTarget()],
  origins: [soundOrigin()],
  conflicts: 0,
  deadLetters: 0,
  hold: null,
  singleUse: null,
  resync: { repaired: 0, received: 0, sent: 0, running: null },
  tombstonesDropped: { all: 0, forced: 0 },
  counters: null,
  ...changes,
});

/** A target that has everything. */
export const soundTarget = (changes: Partial<TargetStatus> = {}): TargetStatus => ({
  target: "lon",
  state: "up to date",
  why: null,
  atRisk: { mutations: 0, bytes: 0, ageMs: 0, isAtLeast: false },
  confirmedSeq: 90,
  refusesThis: false,
  offline: null,
  ...changes,
});

/** An origin whose changes come. */
export const soundOrigin = (changes: Partial<OriginStatus> = {}): OriginStatus => ({
  origin: "lon",
  state: "receiving",
  why: null,
  position: 40,
  mirrorEnd: 41,
  announcedEnd: 40,
  lagMs: { last: 7, mean: 9 },
  mutations: 400,
  bytes: 40_000,
  refusedSince: null,
  voided: 0,
  refused: 0,
  retries: 0,
  counterGaps: 0,
  deadLetters: 0,
  gap: null,
  ...changes,
});
