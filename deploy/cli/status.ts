import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../../topology/config/config.ts";
import type { Bus } from "../../topology/ports.ts";
import { NatsBus } from "../../gateway/link/bus.ts";
import { renderSites } from "../status/render.ts";
import { askStatus } from "../status/status-exchange.ts";
import type { SiteStatus, UnreachableSite } from "../status/site-status.ts";
import { connectAny } from "./connect-any.ts";
import { loadConfig } from "./load-config.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** Between two looks of `--watch`. */
const WATCH_MS = 1_000;
/** The cursor to the top left, and everything below it cleared. */
const CLEAR = "\u001B[H\u001B[J";

type Answers = readonly (SiteStatus | UnreachableSite)[];

/** `isthmus status`: every site of the file, as it sees itself. */
export const status: Verb = {
  name: "status",
  summary: "each site's caches: state, lag, data at risk, gaps; --site: through whose NATS to ask",
  json: '{"sites": [each as of GET /api/v1/status, or {site, "state": "unreachable", reason}]}; one line a look with --watch',
  options: { watch: { summary: "look again every second, until interrupted" } },
  async run(context: VerbContext): Promise<Exit> {
    const config = await loadConfig(context);
    const link = await connectAny(config, context);
    try {
      const bus = new NatsBus(link);
      return context.options["watch"] === true
        ? await watch(config, bus, context)
        : tell(await askAll(config, bus), context, "");
    } finally {
      await link.close();
    }
  },
};

const askAll = (config: Config, bus: Bus): Promise<Answers> =>
  Promise.all(config.sites.map(({ name }) => askStatus(bus, name)));

/** Prints the answers; 0 when every site answered and none has a problem. */
function tell(sites: Answers, { stdout, json }: VerbContext, before: string): Exit {
  const text = json ? `${JSON.stringify({ sites })}\n` : before + renderSites(sites);
  stdout.write(text);
  const isFine = sites.every((site) => site.state !== "unreachable" && site.problems.length === 0);
  return isFine ? Exit.Fine : Exit.No;
}

async function watch(config: Config, bus: Bus, context: VerbContext): Promise<Exit> {
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  let exit: Exit = Exit.Fine;
  try {
    while (!stopping.signal.aborted) {
      const before = context.stdout.isTTY === true ? CLEAR : "";
      exit = tell(await askAll(config, bus), context, before);
      if (before === "" && !context.json) context.stdout.write("\n");
      await sleep(WATCH_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
  return exit;
}
