import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { Config } from "../../topology/config/config.ts";
import { connectNats, type NatsLink } from "../../gateway/link/connect.ts";
import { natsSettings } from "../nats/settings.ts";
import { systemClock, systemRandom } from "../site/system.ts";
import { requiredSite } from "./load-config.ts";
import type { VerbContext } from "./verb.ts";

/** A connection to the NATS of `--site`, or of the first site that can be reached. @throws NoSiteReached */
export async function connectAny(config: Config, context: VerbContext): Promise<NatsLink> {
  const sites = context.site === undefined ? config.sites : [requiredSite(config, context)];
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => logger };
  const tools = { clock: systemClock, random: systemRandom, logger };
  const reasons: string[] = [];
  for (const site of sites) {
    try {
      return await connectNats(natsSettings(site), tools, 0, new AbortController().signal);
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      reasons.push(`\n  ${site.name}: ${error.code} ${error.message}`);
    }
  }
  throw new IsthmusError(
    ErrorCode.NoSiteReached,
    `no site's NATS could be reached from here:${reasons.join("")}`,
  );
}

/** What the connection has to say shows in the answers. */
function quiet(): void {}
