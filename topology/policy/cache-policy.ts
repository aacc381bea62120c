import type { Config, PolicyRule } from "../config/config.ts";
import { presetRow, presetRows } from "../config/presets/preset.ts";
import { FILE_RANGES } from "../limits.ts";
import type { CacheName, SiteName } from "../names.ts";
import type { ConflictPolicy } from "./conflict.ts";
import type { Mode, OnTimeout } from "./mode.ts";
import { isPattern, reaches } from "./reach.ts";

/** What applies to one cache, and why. */
export interface CachePolicy {
  /** The canonical name. */
  readonly cache: CacheName;
  readonly mode: Mode;
  /** Hold budget of a write under `sync`, from the arrival of its request. */
  readonly timeoutMs: number;
  readonly onTimeout: OnTimeout;
  readonly conflict: ConflictPolicy;
  /** Sites that changes go to; undefined: every site but the origin. See {@link targetsOf}. */
  readonly to: readonly SiteName[] | undefined;
  /** Local names where they differ. See {@link localName}. */
  readonly rename: ReadonlyMap<SiteName, CacheName>;
  /** A key found missing is never a delete; removed events are. */
  readonly evicts: boolean;
  /** `home`: the front door asks the key's home before it lets a single use through. */
  readonly singleUse: "home" | undefined;
  /** What the text of keys begins with that stay at their site. */
  readonly localKeys: readonly string[];
  /** The rule or the preset's row that decided, for people. */
  readonly reason: string;
}

type Decision = Omit<PolicyRule, "match" | "line"> & { readonly reason: string };

const UNNAMED: Omit<Decision, "mode" | "reason"> = {
  timeoutMs: undefined,
  onTimeout: undefined,
  conflict: undefined,
  to: undefined,
  rename: new Map(),
  singleUse: undefined,
  evicts: false,
  localKeys: undefined,
};

/**
 * The effective policy of a cache: the first rule that takes it, else the preset's row, else `off`. A cache that the preset
 * calls local is `never`, whatever a pattern says.
 */
export function policyOf(config: Config, cache: CacheName): CachePolicy {
  const { mode, timeoutMs, onTimeout, conflict, to, rename, singleUse, evicts, localKeys, reason } =
    decide(config, cache);
  return {
    cache,
    mode,
    timeoutMs: timeoutMs ?? FILE_RANGES.holdMs.byDefault,
    onTimeout: onTimeout ?? "degrade",
    conflict: conflict ?? "last-writer-wins",
    to,
    rename,
    evicts,
    singleUse,
    // Of a rule that says nothing of them too: a mode is often all that a file changes of a preset's row.
    localKeys: localKeys ?? presetRow(config.preset, cache)?.localKeys ?? [],
    reason,
  };
}

function decide(config: Config, cache: CacheName): Decision {
  for (const [i, rule] of config.policies.entries()) {
    const name = rule.match.find((candidate) => reaches(config.preset, candidate, cache));
    if (name === undefined) continue;
    const by = isPattern(name) ? ` by the pattern ${JSON.stringify(name)}` : "";
    return { ...rule, reason: `policies[${i}] (line ${rule.line})${by}` };
  }
  const row = presetRow(config.preset, cache);
  if (row === undefined) return { ...UNNAMED, mode: "off", reason: "no rule names it" };
  return { ...UNNAMED, mode: row.mode, reason: `preset ${config.preset}: ${row.reason}` };
}

/** The caches that the file knows by name: exact names of its rules in their order, then the preset's rows. */
export function cachesOf(config: Config): CacheName[] {
  const named = config.policies.flatMap((rule) => rule.match.filter((name) => !isPattern(name)));
  return [...new Set([...named, ...presetRows(config.preset).map((row) => row.cache)])];
}

/** The sites that a change of `origin` goes to, in the file's order. */
export function targetsOf(config: Config, policy: CachePolicy, origin: SiteName): SiteName[] {
  const others = config.sites.map((site) => site.name).filter((name) => name !== origin);
  return policy.to === undefined ? others : others.filter((name) => policy.to?.includes(name));
}

/** The cache's name in that site's Infinispan. */
export function localName(policy: CachePolicy, site: SiteName): CacheName {
  return policy.rename.get(site) ?? policy.cache;
}
