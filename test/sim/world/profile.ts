import type { OnTimeout } from "../../../topology/policy/mode.ts";
import { SimRandom } from "./sim-random.ts";

/** Faults that any operation may meet, with a probability, for as long as a world's faults last. */
export const RATES = [
  "cacheTimeout",
  "cacheError",
  "laggingRead",
  "doubledEvent",
  "tokenZero",
  "clientFirst",
  "publishTimeout",
  "natsUnreachable",
  "clockSkew",
] as const;

/** Faults that happen at a moment that the plan draws. */
export const ACTS = [
  "listenerLoss",
  "cacheRestart",
  "nodeRestart",
  "evict",
  "linkCut",
  "lossyBus",
  "mirrorDeleted",
  "kill",
  "powerCut",
  "diskFull",
  "ledgerLost",
  "takeover",
  "gracefulStop",
  "pause",
  "clockJump",
  "forgedRecord",
  "logTrimmed",
  "logTruncated",
  "logDeleted",
] as const;

/** Faults that no seed draws, each with the reason; those of {@link ACTS} among them can be asked for by name. */
export const SWITCHED_OFF: Readonly<Record<string, string>> = {
  siteAddedToLostLog:
    "a new site that could not ask a peer at its start takes that one's log for whole, though it was made anew",
  lateWriteOfTheDead: "what a server does seconds after its sender died counts as a change",
  ledgerAndLogEndLost:
    "a ledger that is lost, or lost its tail, does not know that its log lost its end as well, and draws sequences that a mirror has already",
  lateRecordInNewLog:
    "what a hung process sent may be stored once its successor has made a trimmed log anew, whose term record has the same sequence",
  ledgerAndLogLost:
    "a site that loses its ledger and its log at once knows of itself only what its peers tell",
};

export type Rate = (typeof RATES)[number];
export type Act = (typeof ACTS)[number];
export type Fault = Rate | Act;

export const FAULTS: readonly Fault[] = [...RATES, ...ACTS];

/** How the application uses a cache, or what its policy says beside the conflict policy. */
export type CacheKind = "plain" | "invalidate" | "evicts" | "idle";

/** A handled cache; `isOff` while the operator has it so. */
export interface SimCacheProfile {
  readonly name: string;
  /** The conflict policy as the file writes it. */
  readonly conflict: string;
  readonly kind: CacheKind;
  readonly isOff?: boolean;
}

/** What a seed decides of a world before it starts. */
export interface Profile {
  readonly seed: number;
  readonly sites: readonly string[];
  readonly caches: readonly SimCacheProfile[];
  readonly faults: ReadonlySet<Fault>;
  readonly keys: number;
  /** Mean pause between two operations of one site's client, ms. */
  readonly paceMs: number;
  /** How long clients write and faults happen, ms. */
  readonly durationMs: number;
  /** Idle time in the middle of that, ms: tombstones are dropped in it. */
  readonly restMs: number;
  readonly expiry: boolean;
  /** Clients now and then write the same bytes again. */
  readonly sameBytes: boolean;
  /** Servers of each site's cache cluster. */
  readonly nodes: number;
  /** Processes act under a lease of a few seconds, so a restart waits for the end of the last one's. */
  readonly hasLease: boolean;
  /** `onTimeout` of the caches whose writers come through front doors, if they do. */
  readonly door: OnTimeout | "none";
  /** What the operator changes, once the faults are over, before the last writes. */
  readonly change: "none" | "policy" | "mode" | "site added" | "site removed";
}

const CONFLICTS = [
  "last-writer-wins",
  "last-writer-wins",
  "first-writer-wins",
  "prefer-put",
  "prefer-remove",
  "{ prefer-site: [SITES] }",
  "{ merge: ./union.mjs }",
];

/** A change that {@link SWITCHED_OFF} names, alone or with these faults. */
function isOff(change: Profile["change"], faults: ReadonlySet<Fault>): boolean {
  const losesLog = faults.has("logTruncated") || faults.has("logDeleted");
  return change === "site added" && losesLog && "siteAddedToLostLog" in SWITCHED_OFF;
}

/** `only`: exactly these faults, whatever the seed draws. */
export function drawProfile(seed: number, only?: ReadonlySet<Fault>): Profile {
  const random = new SimRandom(seed);
  const sites = random.chance(0.6) ? ["nyc", "lon"] : ["nyc", "lon", "fra"];
  const caches: SimCacheProfile[] = [
    { name: "carts", conflict: "last-writer-wins", kind: "plain" },
  ];
  if (random.chance(0.5)) {
    const kind = random.pick<CacheKind>([
      "plain",
      "plain",
      "plain",
      "invalidate",
      "evicts",
      "idle",
    ]);
    const policy = random.pick(CONFLICTS);
    const conflict = kind === "plain" ? policy : "last-writer-wins";
    caches.push({ name: "plans", conflict, kind });
  }
  const likely = random.pick([0.1, 0.25, 0.4]);
  const drawn = FAULTS.filter(() => random.chance(likely));
  const faults = new Set<Fault>(drawn.filter((fault) => !(fault in SWITCHED_OFF)));
  const losesLedger = (["powerCut", "ledgerLost", "takeover"] as const).some((f) => faults.has(f));
  if (losesLedger && "ledgerAndLogEndLost" in SWITCHED_OFF) faults.delete("logTruncated");
  const isLate = faults.has("takeover") && faults.has("publishTimeout");
  if (isLate && "lateRecordInNewLog" in SWITCHED_OFF) faults.delete("logTrimmed");
  const losesBoth = faults.has("ledgerLost") || faults.has("takeover");
  if (losesBoth && "ledgerAndLogLost" in SWITCHED_OFF) faults.delete("logDeleted");
  const paceMs = random.pick([4, 20, 80, 250]);
  const changes = ["none", "none", "none", "mode", "policy", "site added", "site removed"] as const;
  const change = random.pick(changes);
  return {
    seed,
    sites,
    caches,
    faults: only ?? faults,
    keys: 1 + random.below(5),
    paceMs,
    durationMs: Math.min(5_000, Math.max(500, paceMs * random.pick([20, 50, 120]))),
    restMs: random.chance(0.06) ? 130_000 : 0,
    expiry: random.chance(0.3),
    sameBytes: random.chance(0.3),
    nodes: random.pick([1, 1, 2, 3]),
    change: isOff(change, only ?? faults) ? "none" : change,
    hasLease: random.chance(0.15),
    door: random.pick(["none", "none", "degrade", "fail"] as const),
  };
}
