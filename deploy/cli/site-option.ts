import { siteNamed, type Config } from "../../topology/config/config.ts";
import { didYouMean } from "../../topology/config/suggest.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import { cachesOf, policyOf } from "../../topology/policy/cache-policy.ts";
import { optionText } from "./ask-sites.ts";
import type { VerbContext } from "./verb.ts";

/** The site that an option names. @throws UsageInvalid when it is missing, or not one of the file's */
export function siteOption(config: Config, context: VerbContext, name: string): SiteName {
  const asked = optionText(context, name);
  const names = config.sites.map((site) => site.name);
  if (asked === undefined) throw usage(`--${name} is missing: one of ${names.join(", ")}`);
  if (siteNamed(config, asked) !== undefined) return asked;
  throw usage(
    `--${name}: the file has no site ${JSON.stringify(asked)}${didYouMean(asked, names)}`,
  );
}

/** A cache that the file replicates; undefined: no `--cache`. @throws UsageInvalid for one that is off or local, or not named */
export function cacheOption(config: Config, context: VerbContext): CacheName | undefined {
  const asked = optionText(context, "cache");
  if (asked === undefined) return undefined;
  const { mode, reason } = policyOf(config, asked);
  if (mode !== "off" && mode !== "never") return asked;
  const handled = cachesOf(config).filter((name) => isReplicated(config, name));
  throw usage(
    `--cache: ${JSON.stringify(asked)} is not replicated: its mode is ${mode} (${reason})${didYouMean(asked, handled)}`,
  );
}

const isReplicated = (config: Config, name: CacheName): boolean =>
  !["off", "never"].includes(policyOf(config, name).mode);

/** Wrong use, told by a message. */
export const usage = (message: string): IsthmusError =>
  new IsthmusError(ErrorCode.UsageInvalid, message);
