import { parseConfig } from "../../../topology/config/parse-config.ts";
import type { Config } from "../../../topology/config/config.ts";
import { SimRandom } from "./sim-random.ts";

/** The kinds of fault that a world may have; each is switched on by the seed, one by one. */
export const FAULTS = [
  "cacheTimeout",
  "cacheError",
  "laggingRead",
  "doubledEvent",
  "tokenZero",
  "listenerLoss",
  "cacheRestart",
  "publishTimeout",
  "natsUnreachable",
  "linkCut",
  "lossyBus",
  "mirrorDeleted",
  "kill",
  "powerCut",
  "gracefulStop",
  "pause",
  "clockSkew",
  "clockJump",
] as const;

export type Fault = (typeof FAULTS)[number];

/** What a seed decides of a world before it starts. */
export interface Profile {
  readonly seed: number;
  readonly sites: readonly string[];
  /** Handled caches with their conflict policy as the file writes it. */
  readonly caches: ReadonlyArray<{ readonly name: string; readonly conflict: string }>;
  readonly faults: ReadonlySet<Fault>;
  readonly keys: number;
  /** Mean pause between two operations of one site's client, ms. */
  readonly paceMs: number;
  /** How long clients write and faults happen, ms. */
  readonly durationMs: number;
  readonly expiry: boolean;
  /** Clients now and then write the same bytes again. */
  readonly sameBytes: boolean;
}

const CONFLICTS = [
  "last-writer-wins",
  "last-writer-wins",
  "first-writer-wins",
  "prefer-put",
  "prefer-remove",
  "{ prefer-site: [lon, nyc, fra] }",
];

export function drawProfile(seed: number, only?: ReadonlySet<Fault>): Profile {
  const random = new SimRandom(seed);
  const sites = random.chance(0.6) ? ["nyc", "lon"] : ["nyc", "lon", "fra"];
  const caches = [{ name: "carts", conflict: "last-writer-wins" }];
  if (random.chance(0.4)) caches.push({ name: "plans", conflict: random.pick(CONFLICTS) });
  const likely = random.pick([0.15, 0.3, 0.5]);
  const drawn = FAULTS.filter(() => random.chance(likely));
  const faults = new Set(drawn.filter((fault) => only === undefined || only.has(fault)));
  return {
    seed,
    sites,
    caches,
    faults: only === undefined ? faults : only,
    keys: 1 + random.below(5),
    paceMs: random.pick([5, 20, 100, 400]),
    durationMs: random.between(1_000, 7_000),
    expiry: random.chance(0.3),
    sameBytes: random.chance(0.3),
  };
}

/** Cache that must stay at its site, and cache that nobody handles. */
export const NEVER = "private";
export const OFF = "scratch";

export function configOf(profile: Profile): Config {
  const sites = profile.sites.map(
    (name, i) =>
      `  ${name}:\n    cache: { kind: embedded }\n    data: ./data/${name}\n    nats:\n      servers: ["nats://127.0.0.1:${4222 + i}"]\n      leaf: { listen: "127.0.0.1:${7422 + i}" }\n`,
  );
  const rules = profile.caches.map(
    ({ name, conflict }) =>
      `  - match: ${name}\n    mode: async\n    conflict: ${conflict.replace("prefer-site: [lon, nyc, fra]", `prefer-site: [${profile.sites.join(", ")}]`)}\n`,
  );
  const text = [
    "apiVersion: isthmus/v1\nname: sim\nsites:\n",
    ...sites,
    "policies:\n",
    ...rules,
    `  - match: ${NEVER}\n    mode: never\n`,
    `  - match: ${OFF}\n    mode: off\n`,
  ].join("");
  const { config, diagnostics } = parseConfig(text, { file: "sim.yaml" });
  if (config === undefined) {
    throw new Error(diagnostics.map((d) => JSON.stringify(d)).join("\n") + text);
  }
  return config;
}
