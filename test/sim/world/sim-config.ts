import type { Config } from "../../../topology/config/config.ts";
import { parseConfig } from "../../../topology/config/parse-config.ts";
import { conflictPolicyHash } from "../../../topology/policy/conflict-policy-hash.ts";
import type { MergeFunction } from "../../../topology/version/show.ts";
import type { Merges } from "../../../deploy/site/merges.ts";
import type { Profile, SimCacheProfile } from "./profile.ts";

/** Cache that must stay at its site, and cache that nobody handles. */
export const NEVER = "private";
export const OFF = "scratch";

/** The file that a world's sites run with. */
export function configOf({
  sites,
  caches,
  door,
}: Pick<Profile, "sites" | "caches" | "door">): Config {
  const text = [
    "apiVersion: isthmus/v1\nname: sim\nsites:\n",
    ...sites.map(
      (name, i) =>
        `  ${name}:\n    cache: { kind: embedded }\n    data: ./data/${name}\n    nats:\n      servers: ["nats://127.0.0.1:${4222 + i}"]\n      leaf: { listen: "127.0.0.1:${7422 + i}" }\n`,
    ),
    "policies:\n",
    ...caches.map((cache) => ruleOf(cache, sites, door)),
    `  - match: ${NEVER}\n    mode: never\n`,
    `  - match: ${OFF}\n    mode: off\n`,
  ].join("");
  const { config, diagnostics } = parseConfig(text, { file: "sim.yaml" });
  if (config === undefined) {
    throw new Error(diagnostics.map((d) => JSON.stringify(d)).join("\n") + text);
  }
  return config;
}

function ruleOf(
  { name, conflict, kind, isOff }: SimCacheProfile,
  sites: readonly string[],
  door: Profile["door"],
): string {
  if (isOff === true) return `  - match: ${name}\n    mode: "off"\n`;
  // The same list, and so the same policy, whether or not a third site is there.
  const order = conflict.replace("SITES", sites.slice(0, 2).toReversed().join(", "));
  const held = door === "none" ? "async" : `sync\n    onTimeout: ${door}`;
  const mode = kind === "invalidate" ? "invalidate" : held;
  const evicts = kind === "evicts" ? "    evicts: true\n" : "";
  return `  - match: ${name}\n    mode: ${mode}\n    conflict: ${order}\n${evicts}`;
}

/** The merges that a file names: each is {@link union}. */
export function mergesOf(config: Config): Merges {
  const registry = new Map<string, MergeFunction>();
  for (const { conflict } of config.policies) {
    if (typeof conflict === "object" && "merge" in conflict) registry.set(conflict.merge, union);
  }
  return {
    registry,
    hashOf: (policy) => conflictPolicyHash(policy, Buffer.from("union")),
    ready: async () => undefined,
  };
}

/** All lines of all values, each once, sorted. */
const union: MergeFunction = (values) => {
  const lines = new Set(values.flatMap(({ value }) => linesOf(Buffer.from(value))));
  const ends = values.map(({ expiry }) => expiry.expiresAt);
  const expiresAt = ends.includes(0) ? 0 : Math.max(...ends);
  return { value: Buffer.from([...lines].sort().join("\n")), expiry: { expiresAt, maxIdleMs: 0 } };
};

/** What a value was made of: more than one only if a merge made it. */
export const linesOf = (value: Buffer): string[] => value.toString().split("\n");
