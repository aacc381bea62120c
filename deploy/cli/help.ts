import { commonOptions } from "./command-line.ts";
import type { OptionSpec, Verb } from "./verb.ts";

/** What `isthmus --help` prints. */
export function programHelp(verbs: readonly Verb[]): string {
  return `Replicates the mutations of Infinispan caches between data centres over NATS JetStream.

Usage: isthmus VERB [-f isthmus.yaml] [--json] [--site NAME]

${columns(verbs.map((verb) => [verb.name, verb.summary]))}

  isthmus VERB --help    what a verb takes and prints
  isthmus --version      the program's version

Exit: 0 done or fine, 1 faults found or the answer is no, 2 wrong use or a bad file, 3 something is out of reach.
`;
}

/** What `isthmus VERB --help` prints. */
export function verbHelp(verb: Verb): string {
  const options = Object.entries<OptionSpec>({ ...verb.options, ...commonOptions })
    .filter(([name, { planned }]) => !planned && (name !== "json" || verb.json !== undefined))
    .map(([name, spec]): [string, string] => [flags(name, spec), spec.summary]);
  const args = verb.args === undefined ? "" : ` ${verb.args}`;
  const json = verb.json === undefined ? "" : `\n--json prints ${verb.json}\n`;
  return `${verb.summary}

Usage: isthmus ${verb.name}${args} [OPTIONS]

${columns(options)}
${json}`;
}

function flags(name: string, { short, value }: OptionSpec): string {
  const head = short === undefined ? "    " : `-${short}, `;
  return `${head}--${name}${value === undefined ? "" : ` ${value}`}`;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
