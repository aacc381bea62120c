import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Config, Site } from "../../topology/config/config.ts";
import { siteNamed } from "../../topology/config/config.ts";
import { renderDiagnostic } from "../../topology/config/diagnostic.ts";
import { parseConfig } from "../../topology/config/parse-config.ts";
import type { ParsedConfig } from "../../topology/config/parse-config.ts";
import { didYouMean } from "../../topology/config/suggest.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { VerbContext } from "./verb.ts";

/** Reads and judges the file that the command line names. @throws IsthmusError FileUnreadable. */
export async function judgeFile({
  file,
  cwd,
}: Pick<VerbContext, "file" | "cwd">): Promise<ParsedConfig> {
  const absolute = resolve(cwd, file);
  let source: string;
  try {
    source = await readFile(absolute, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw new IsthmusError(ErrorCode.FileUnreadable, `cannot read ${file}: ${reason}`, {
      hint: "-f FILE names another file",
      cause,
    });
  }
  return parseConfig(source, { file, directory: dirname(absolute) });
}

/** The file's config; warnings go to stderr. @throws IsthmusError with every fault, and the first one's code. */
export async function loadConfig(
  context: Pick<VerbContext, "file" | "cwd" | "stderr">,
): Promise<Config> {
  const { config, diagnostics } = await judgeFile(context);
  if (config === undefined) {
    const errors = diagnostics.filter((d) => d.severity === "error");
    const code = errors[0]?.code ?? ErrorCode.FileNotYaml;
    const lines = errors.map((d) => `\n  ${renderDiagnostic(d)}`).join("");
    throw new IsthmusError(code, `${context.file} cannot be used:${lines}`);
  }
  for (const diagnostic of diagnostics) context.stderr.write(`${renderDiagnostic(diagnostic)}\n`);
  return config;
}

/** The site that `--site` names. @throws IsthmusError UsageInvalid when it names none of the file's. */
export function requiredSite(config: Config, { site, file }: VerbContext): Site {
  const names = config.sites.map(({ name }) => name);
  if (site === undefined)
    throw new IsthmusError(ErrorCode.UsageInvalid, `--site is needed, one of ${names.join(", ")}`);
  const found = siteNamed(config, site);
  if (found !== undefined) return found;
  const hint = didYouMean(site, names) || `; sites: ${names.join(", ")}`;
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `${file} has no site ${JSON.stringify(site)}${hint}`,
  );
}
