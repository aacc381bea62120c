import { formatDuration } from "../../topology/config/value-readers.ts";
import type { Config } from "../../topology/config/config.ts";
import type { SiteName } from "../../topology/names.ts";
import { cachesOf, localName, policyOf, targetsOf } from "../../topology/policy/cache-policy.ts";
import type { CachePolicy } from "../../topology/policy/cache-policy.ts";
import { isPattern } from "../../topology/policy/reach.ts";
import { policyText } from "../operator/key-way.ts";
import { loadConfig, requiredSite } from "./load-config.ts";
import { textTable } from "../status/text-table.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus caches`: what applies to each cache, and why. */
export const caches: Verb = {
  name: "caches",
  summary: "show each cache's effective policy and why; with --site, as that site sees it",
  json:
    '{"caches": [{cache, mode, timeoutMs, onTimeout, conflict, to, rename, evicts, singleUse, localKeys, reason, ' +
    'targets and localName with --site}], "patterns": [{match, mode, reason}]}',
  options: {},
  async run(context: VerbContext): Promise<Exit> {
    const config = await loadConfig(context);
    const site = context.site === undefined ? undefined : requiredSite(config, context).name;
    const policies = cachesOf(config).map((cache) => policyOf(config, cache));
    const patterns = patternRows(config);
    if (context.json) {
      const rows = policies.map((policy) => jsonRow(config, policy, site));
      context.stdout.write(`${JSON.stringify({ caches: rows, patterns }, null, 2)}\n`);
      return Exit.Fine;
    }
    const rows = policies.map((policy) => textRow(config, policy, site));
    for (const { match, mode, reason } of patterns) rows.push([match, mode, "", "", "", reason]);
    context.stdout.write(textTable([HEADER, ...rows]));
    return Exit.Fine;
  },
};

const HEADER = ["CACHE", "MODE", "HOLD", "CONFLICT", "TO", "WHY"];

/** Patterns apply to caches that only a site's Infinispan can name; last comes what no rule takes. */
function patternRows(config: Config): { match: string; mode: string; reason: string }[] {
  const rows = config.policies.flatMap(({ match, mode, line }, i) =>
    match
      .filter(isPattern)
      .map((pattern) => ({ match: pattern, mode, reason: `policies[${i}] (line ${line})` })),
  );
  if (rows.some(({ match }) => match === "*")) return rows;
  return [...rows, { match: "any other", mode: "off", reason: "no rule names it" }];
}

function jsonRow(config: Config, policy: CachePolicy, site: SiteName | undefined): object {
  return {
    ...policy,
    to: policy.to ?? null,
    rename: Object.fromEntries(policy.rename),
    singleUse: policy.singleUse ?? null,
    ...(site !== undefined && {
      targets: targetsOf(config, policy, site),
      localName: localName(policy, site),
    }),
  };
}

function textRow(config: Config, policy: CachePolicy, site: SiteName | undefined): string[] {
  const { cache, mode, timeoutMs, onTimeout, conflict, reason } = policy;
  if (mode === "off" || mode === "never") return [cache, mode, "", "", "", reason];
  const local = site === undefined ? cache : localName(policy, site);
  const to = site === undefined ? policy.to : targetsOf(config, policy, site);
  return [
    local === cache ? cache : `${cache} (here ${local})`,
    mode,
    mode === "sync" ? `${formatDuration(timeoutMs)}, then ${onTimeout}` : "",
    policyText(conflict),
    to === undefined ? "all" : to.join(" "),
    extras(policy) + reason,
  ];
}

function extras({ evicts, singleUse, rename, localKeys }: CachePolicy): string {
  const parts = [...rename].map(([site, name]) => `${name} at ${site}`);
  if (evicts) parts.push("evicts");
  if (singleUse !== undefined) parts.push(`single use: ${singleUse}`);
  if (localKeys.length > 0) parts.push(`keys that stay here: ${localKeys.join(" ")}`);
  return parts.length === 0 ? "" : `${parts.join(", ")}; `;
}
