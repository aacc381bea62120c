import type { Config } from "../../topology/config/config.ts";
import { renderDiagnostic } from "../../topology/config/diagnostic.ts";
import { cachesOf } from "../../topology/policy/cache-policy.ts";
import { judgeFile } from "./load-config.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus check`: every fault of the file, each with its place. */
export const check: Verb = {
  name: "check",
  summary: "validate the file: every fault at once, with file:line:col",
  json: '{"file", "ok", "errors", "warnings", "diagnostics": [{file, line, col, severity, code, path, message}]}',
  options: {},
  async run(context: VerbContext): Promise<Exit> {
    const { config, diagnostics } = await judgeFile(context);
    const errors = diagnostics.filter((d) => d.severity === "error").length;
    const warnings = diagnostics.length - errors;
    if (context.json) {
      const report = { file: context.file, ok: errors === 0, errors, warnings, diagnostics };
      context.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    } else {
      for (const diagnostic of diagnostics)
        context.stdout.write(`${renderDiagnostic(diagnostic)}\n`);
      if (config !== undefined)
        context.stdout.write(`${context.file}: OK, ${counts(config)}${withWarnings(warnings)}\n`);
      else
        context.stderr.write(
          `${context.file}: ${plural(errors, "error")}${withWarnings(warnings)}\n`,
        );
    }
    return config === undefined ? Exit.No : Exit.Fine;
  },
};

function counts(config: Config): string {
  const caches = cachesOf(config).length;
  return [
    plural(config.sites.length, "site"),
    plural(config.policies.length, "rule"),
    `${plural(caches, "cache")} by name`,
  ].join(", ");
}

const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

const withWarnings = (n: number): string => (n === 0 ? "" : `, ${plural(n, "warning")}`);
