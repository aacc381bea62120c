import { didYouMean } from "../../topology/config/suggest.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { readCommandLine } from "./command-line.ts";
import { programHelp, verbHelp } from "./help.ts";
import { Exit } from "./verb.ts";
import type { Surroundings } from "./verb.ts";
import { plannedVerbs, verbs } from "./verbs.ts";

/** Runs one command line, without the program's name; resolves with the exit code. Errors that are no bugs are told on stderr. */
export async function main(argv: readonly string[], around: Surroundings): Promise<Exit> {
  try {
    return await run(argv, around);
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
    around.stderr.write(`isthmus: ${error.code} ${error.message}\n`);
    if (error.hint !== undefined) around.stderr.write(`  ${error.hint}\n`);
    return exitCodeOf(error.code);
  }
}

async function run(argv: readonly string[], around: Surroundings): Promise<Exit> {
  const { verb: name, args, options } = readCommandLine(argv, verbs);
  if (name === undefined) {
    if (options["version"] !== undefined) {
      around.stdout.write(`${around.version}\n`);
      return Exit.Fine;
    }
    const asked = options["help"] !== undefined;
    (asked ? around.stdout : around.stderr).write(programHelp(verbs));
    return asked ? Exit.Fine : Exit.Usage;
  }
  const verb = verbs.find((candidate) => candidate.name === name);
  if (verb === undefined) throw unknownVerb(name);
  if (options["help"] !== undefined) {
    around.stdout.write(verbHelp(verb));
    return Exit.Fine;
  }
  if (verb.args === undefined && args.length > 0)
    throw new IsthmusError(
      ErrorCode.UsageInvalid,
      `${verb.name} takes no argument, got ${JSON.stringify(args[0])}`,
    );
  const { file, json, site, ...own } = options;
  if (json !== undefined && verb.json === undefined)
    throw new IsthmusError(ErrorCode.UsageInvalid, `${verb.name} has no --json`);
  return await verb.run({
    ...around,
    verbs,
    args,
    json: json !== undefined,
    file: typeof file === "string" ? file : "isthmus.yaml",
    site: typeof site === "string" ? site : undefined,
    options: own,
  });
}

function unknownVerb(name: string): IsthmusError {
  if (plannedVerbs.includes(name))
    return new IsthmusError(ErrorCode.VerbNotAvailable, `${name} is not available in this version`);
  const candidates = verbs.map((verb) => verb.name);
  return new IsthmusError(
    ErrorCode.UsageUnknown,
    `unknown verb ${JSON.stringify(name)}${didYouMean(name, candidates)}`,
    { hint: "isthmus --help shows every verb" },
  );
}

const UNREACHABLE: readonly ErrorCode[] = [
  ErrorCode.CacheUnreachable,
  ErrorCode.CacheAuthFailed,
  ErrorCode.NatsUnreachable,
  ErrorCode.NatsAuthFailed,
  ErrorCode.NoSiteReached,
  ErrorCode.PeerUnreachable,
  ErrorCode.PeerUnreachable,
  ErrorCode.LabPartMissing,
];

/** IS1xxx is a bad file and IS5xxx wrong use; what no server answered is out of reach; the rest is a no. */
function exitCodeOf(code: ErrorCode): Exit {
  if (/^IS[15]/.test(code)) return Exit.Usage;
  return UNREACHABLE.includes(code) ? Exit.Unreachable : Exit.No;
}
