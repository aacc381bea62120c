import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { commonOptions } from "./command-line.ts";
import { Exit } from "./verb.ts";
import type { OptionSpec, Verb, VerbContext } from "./verb.ts";

/** `isthmus completion SHELL`: a script for the shell's start file. */
export const completion: Verb = {
  name: "completion",
  summary: "print the completion script of a shell: bash, zsh or fish",
  args: "bash|zsh|fish",
  options: {},
  run({ args, verbs, stdout }: VerbContext): Promise<Exit> {
    const [shell = ""] = args;
    const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
    if (script === undefined || args.length !== 1)
      throw new IsthmusError(
        ErrorCode.UsageInvalid,
        `expected one of ${Object.keys(SCRIPTS).join("|")}, got ${args.join(" ") || "nothing"}`,
        { hint: "for example: source <(isthmus completion bash)" },
      );
    stdout.write(script(verbs));
    return Promise.resolve(Exit.Fine);
  },
};

const SCRIPTS: Readonly<Record<string, (verbs: readonly Verb[]) => string>> = { bash, zsh, fish };

function bash(verbs: readonly Verb[]): string {
  const cases = verbs.map((verb) => `    ${verb.name}) words="${words(verb)}" ;;\n`).join("");
  return `# source <(isthmus completion bash)
_isthmus() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words
  case "$previous" in
    -f|--file) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "\${COMP_WORDS[1]}" in
${cases}    *) words="${verbs.map((verb) => verb.name).join(" ")} --help --version" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _isthmus isthmus
`;
}

function zsh(verbs: readonly Verb[]): string {
  const described = verbs.map((verb) => `    ${quoted(`${verb.name}:${verb.summary}`)}\n`).join("");
  const cases = verbs.map((verb) => `    ${verb.name}) compadd -- ${words(verb)} ;;\n`).join("");
  return `#compdef isthmus
# source <(isthmus completion zsh)
_isthmus() {
  local -a verbs=(
${described}  )
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  case "\${words[CURRENT-1]}" in
    -f|--file) _files; return ;;
  esac
  case "\${words[2]}" in
${cases}  esac
}
compdef _isthmus isthmus
`;
}

function fish(verbs: readonly Verb[]): string {
  const lines = verbs.flatMap((verb) => {
    const inVerb = `-n "__fish_seen_subcommand_from ${verb.name}"`;
    return [
      `complete -c isthmus -f -n __fish_use_subcommand -a ${verb.name} -d ${quoted(verb.summary)}`,
      ...Object.entries(optionsOf(verb)).map(([name, { short, value, summary }]) => {
        const letter = short === undefined ? "" : ` -s ${short}`;
        const takes = value === undefined ? "" : name === "file" ? " -r -F" : " -x";
        return `complete -c isthmus ${inVerb} -l ${name}${letter}${takes} -d ${quoted(summary)}`;
      }),
      ...(verb.args === undefined
        ? []
        : [`complete -c isthmus -f ${inVerb} -a ${quoted(choices(verb).join(" "))}`]),
    ];
  });
  return `# isthmus completion fish | source\n${lines.join("\n")}\n`;
}

function words(verb: Verb): string {
  return [...choices(verb), ...Object.keys(optionsOf(verb)).map((name) => `--${name}`)].join(" ");
}

/** Arguments that are fixed words; a placeholder in capitals is none. */
function choices({ args = "" }: Verb): string[] {
  return args.split(/[ |]/).filter((word) => /^[a-z-]+$/.test(word));
}

function optionsOf(verb: Verb): Readonly<Record<string, OptionSpec>> {
  const all: Record<string, OptionSpec> = { ...verb.options, ...commonOptions };
  if (verb.json === undefined) delete all["json"];
  return Object.fromEntries(Object.entries(all).filter(([, { planned }]) => !planned));
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
