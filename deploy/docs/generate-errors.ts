import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const AREAS: Readonly<Record<string, string>> = {
  "1": "The file (IS1xxx)",
  "2": "The site agent (IS2xxx)",
  "3": "The gateway (IS3xxx)",
  "4": "The lab and drills (IS4xxx)",
  "5": "The command line (IS5xxx)",
};

/**
 * The errors page, made from the text of topology/errors.ts: a row for each code, its cause and its remedy.
 *
 * @throws Error for a code without a doc comment of the form `cause. Remedy: what to do.`, and for a code used twice.
 */
export function renderErrorsPage(source: string): string {
  const rows = new Map<string, string>();
  for (const [, comment, name, code = ""] of source.matchAll(
    /(?:\/\*\*((?:(?!\*\/)[^])*)\*\/\s*)?\b(\w+): "(IS\d{4})"/g,
  )) {
    const words = (comment ?? "").replace(/\s*\n\s*\* ?/g, " ").trim();
    const [, cause, remedy] = /^(.+?) Remedy: (.+)$/.exec(words) ?? [];
    if (cause === undefined || remedy === undefined)
      throw new Error(`${name} (${code}): expected a doc comment "cause. Remedy: what to do."`);
    if (rows.has(code)) throw new Error(`${code} stands twice`);
    rows.set(code, `| ${code} | ${cell(cause)} | ${cell(remedy)} |`);
  }
  const sections = Object.entries(AREAS).flatMap(([digit, title]) => {
    const own = [...rows.keys()].filter((code) => code[2] === digit).sort();
    if (own.length === 0) return [];
    const lines = own.map((code) => rows.get(code));
    return [`## ${title}`, "", "| code | cause | remedy |", "|---|---|---|", ...lines, ""];
  });
  return `# Errors

Generated from \`topology/errors.ts\` by \`npm run errors-page\`; edit the doc comments there.

${sections.join("\n")}`;
}

/** In a table's cell a bar would end it, and the remedy starts a sentence. */
function cell(text: string): string {
  return (text.charAt(0).toUpperCase() + text.slice(1)).replaceAll("|", "\\|");
}

if (import.meta.filename === process.argv[1]) {
  const root = process.cwd();
  const source = readFileSync(join(root, "topology/errors.ts"), "utf8");
  writeFileSync(join(root, "deploy/docs/errors.md"), renderErrorsPage(source));
}
