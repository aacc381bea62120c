import { dirname, resolve } from "node:path";
import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { SiteName } from "../../topology/names.ts";
import { BUFFER_POOL_BYTES } from "../../topology/limits.ts";
import { LOG_LEVELS, siteLogger, type LogLevel } from "../log/site-logger.ts";
import { loadMerges } from "../site/merges.ts";
import { SiteProcess } from "../site/site-process.ts";
import { systemClock, systemRandom } from "../site/system.ts";
import { loadConfig, requiredSite } from "./load-config.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus run`: one site's process, in the foreground until it is told to stop. */
export const run: Verb = {
  name: "run",
  summary: "run one site's process: agent and gateway; SIGTERM drains and stops",
  options: {
    standby: { summary: "wait for the lease instead of failing when another process is active" },
    without: {
      value: "SITES",
      summary: "rebuild a lost ledger without waiting for these sites, separated by commas",
    },
    "log-level": { value: "LEVEL", summary: "debug, info (default), warn or error" },
  },
  async run(context: VerbContext): Promise<Exit> {
    const config = await loadConfig(context);
    const site = requiredSite(config, context);
    const { name } = site;
    Buffer.poolSize = BUFFER_POOL_BYTES;
    const directory = dirname(resolve(context.cwd, context.file));
    const merges = await loadMerges(config, directory);
    const { logger, close } = siteLogger(name, levelOf(context), systemClock);
    const stopping = new AbortController();
    const stop = (signal: NodeJS.Signals) => {
      logger.info({ signal }, "stopping: drains first, a second signal stops at once");
      if (stopping.signal.aborted) process.exit(Exit.No);
      stopping.abort();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    try {
      const siteProcess = new SiteProcess({
        config,
        site: name,
        merges,
        clock: systemClock,
        random: systemRandom,
        logger,
        standby: context.options["standby"] === true,
        without: sitesWithout(config, context),
        env: process.env,
        version: context.version,
      });
      await siteProcess.run(stopping.signal);
      return Exit.Fine;
    } finally {
      process.off("SIGTERM", stop);
      process.off("SIGINT", stop);
      close();
    }
  },
};

/** @throws UsageInvalid for a site that the file does not have */
function sitesWithout(config: Config, { options }: VerbContext): ReadonlySet<SiteName> {
  const asked = typeof options["without"] === "string" ? options["without"].split(",") : [];
  const names = config.sites.map(({ name }) => name);
  const unknown = asked.find((name) => !names.includes(name));
  if (unknown === undefined) return new Set(asked);
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `--without: the file has no site ${JSON.stringify(unknown)}; sites: ${names.join(", ")}`,
  );
}

function levelOf({ options }: VerbContext): LogLevel {
  const asked = options["log-level"] ?? "info";
  const level = LOG_LEVELS.find((known) => known === asked);
  if (level !== undefined) return level;
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `--log-level: expected one of ${LOG_LEVELS.join(", ")}, got ${JSON.stringify(asked)}`,
  );
}
