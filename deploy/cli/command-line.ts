import { parseArgs } from "node:util";
import { didYouMean } from "../../topology/config/suggest.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { OptionSpec, Verb } from "./verb.ts";

/** Options that every verb takes. */
export const commonOptions = {
  file: { short: "f", value: "FILE", summary: "the file; isthmus.yaml by default" },
  json: { summary: "print one JSON object" },
  site: { value: "NAME", summary: "the site that it is about" },
  help: { short: "h", summary: "show this help" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** A command line, taken apart. */
export interface CommandLine {
  /** The first argument that is no option. */
  readonly verb: string | undefined;
  /** Every further argument that is no option. */
  readonly args: readonly string[];
  /** By long name: text, or true for a flag; the last one where it stands twice. */
  readonly options: Readonly<Record<string, string | true | undefined>>;
}

type Specs = Readonly<Record<string, OptionSpec>>;

/**
 * Takes a command line apart by the options of its verb.
 *
 * @throws IsthmusError UsageUnknown for an option that does not exist, UsageInvalid for one without its value or with one
 * that it does not take.
 */
export function readCommandLine(argv: readonly string[], verbs: readonly Verb[]): CommandLine {
  // Which options exist depends on the verb, and which word is the verb on what options take a value: so look twice.
  const everywhere = { ...commonOptions, version: { summary: "" } };
  const name = positionals(tokenize(argv, everywhere))[0];
  const verb = verbs.find((candidate) => candidate.name === name);
  const specs: Specs = verb === undefined ? everywhere : { ...commonOptions, ...verb.options };
  const tokens = tokenize(argv, specs);
  const [, ...args] = positionals(tokens);
  const options: Record<string, string | true | undefined> = {};
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    // With a verb that does not exist, that is the fault to report, not what its options may have been.
    if (verb !== undefined || name === undefined) check(token, specs);
    options[token.name] = token.value ?? true;
  }
  return { verb: name, args, options };
}

type Token = ReturnType<typeof tokenize>[number];
type OptionToken = Extract<Token, { kind: "option" }>;

function tokenize(argv: readonly string[], specs: Specs) {
  const options = Object.entries(specs).map(([name, { short, value }]) => [
    name,
    {
      type: value === undefined ? "boolean" : "string",
      ...(short !== undefined && { short }),
    } as const,
  ]);
  return parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: Object.fromEntries(options),
  }).tokens;
}

const positionals = (tokens: readonly Token[]): string[] =>
  tokens.flatMap((token) => (token.kind === "positional" ? [token.value] : []));

function check({ name, rawName, value, inlineValue }: OptionToken, specs: Specs): void {
  const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
  if (spec === undefined)
    throw new IsthmusError(
      ErrorCode.UsageUnknown,
      `unknown option ${rawName}${didYouMean(
        rawName,
        Object.keys(specs)
          .filter((known) => specs[known]?.planned !== true)
          .map((known) => `--${known}`),
      )}`,
    );
  if (spec.planned === true)
    throw new IsthmusError(
      ErrorCode.VerbNotAvailable,
      `${rawName} is not available in this version`,
    );
  if (spec.value === undefined && value !== undefined)
    throw new IsthmusError(ErrorCode.UsageInvalid, `${rawName} takes no value, got ${value}`);
  // "--site --json" is a forgotten value; "--site=--json" is meant.
  if (spec.value !== undefined && (value === undefined || (!inlineValue && /^-./.test(value))))
    throw new IsthmusError(ErrorCode.UsageInvalid, `${rawName} needs a value: ${spec.value}`);
}
