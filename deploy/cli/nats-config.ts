import { natsServerConfig, natsServerGaps, renderServerConfig } from "../nats/server-config.ts";
import { loadConfig, requiredSite } from "./load-config.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus nats-config --site S`: what `nats-server -c` runs unchanged. */
export const natsConfig: Verb = {
  name: "nats-config",
  summary: "print the nats-server configuration that the file implies for --site",
  json: "the same configuration as JSON, which nats-server reads too",
  options: {},
  async run(context: VerbContext): Promise<Exit> {
    const config = await loadConfig(context);
    const site = requiredSite(config, context);
    const server = natsServerConfig(config, site.name);
    for (const gap of natsServerGaps(config, site)) context.stderr.write(`${site.name}: ${gap}\n`);
    context.stdout.write(
      context.json ? `${JSON.stringify(server, null, 2)}\n` : renderServerConfig(server),
    );
    return Exit.Fine;
  },
};
