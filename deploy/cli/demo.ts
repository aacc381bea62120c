import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Demo } from "../lab/demo.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus demo`: the main job in one process, on embedded caches and two real nats-servers. */
export const demo: Verb = {
  name: "demo",
  summary: "two sites on this machine: write, show the lag, cut the link, heal, verify",
  json: '{"equal", "differ", "lagMsP50", "lagMsP99", "catchUpMs", "conflicts"}',
  options: {
    keys: { value: "N", summary: "keys to write, default 2000" },
    "log-level": { value: "LEVEL", summary: "logs of the sites: warn (default), info or debug" },
  },
  async run(context: VerbContext): Promise<Exit> {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-demo-"));
    const level = context.options["log-level"];
    const say = context.json
      ? (line: string) => context.stderr.write(`${line}\n`)
      : (line: string) => context.stdout.write(`${line}\n`);
    const logger = pino(
      { level: typeof level === "string" ? level : "fatal" },
      pino.destination({ fd: 2, sync: true }),
    );
    try {
      await using sites = await Demo.start(folder, logger);
      const keys = context.options["keys"];
      const result = await sites.run(typeof keys === "string" ? Number(keys) : 2_000, say);
      if (context.json) context.stdout.write(`${JSON.stringify(result)}\n`);
      else say(`${result.equal} keys equal, ${result.differ} differ`);
      return result.differ === 0 ? Exit.Fine : Exit.No;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
