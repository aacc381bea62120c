import type { SiteName } from "../../topology/names.ts";

/** What the program ends with. */
export const Exit = {
  /** Done, or all is well. */
  Fine: 0,
  /** It found faults, or the answer is no. */
  No: 1,
  /** Wrong use, or a bad file given to any verb but `check`. */
  Usage: 2,
  /** It could not reach what it needs. */
  Unreachable: 3,
} as const;

/** One of {@link Exit}'s values. */
export type Exit = (typeof Exit)[keyof typeof Exit];

/** An option of a verb, written `--name` or `-short`. */
export interface OptionSpec {
  /** For an option with a value, what help calls the value; without it the option is a flag. */
  readonly value?: string;
  readonly short?: string;
  readonly summary: string;
  /** True: of the interface, but not of this version; named plainly when asked for, and not in help. */
  readonly planned?: true;
}

/** The program's surroundings, so that a test can be them. */
export interface Surroundings {
  /** Data: what scripts read. */
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean };
  /** Talk: what people read. */
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  /** Absolute; relative paths on the command line start here. */
  readonly cwd: string;
  /** The program's version. */
  readonly version: string;
}

/** What a verb is given when it runs. */
export interface VerbContext extends Surroundings {
  /** `-f`, as the user wrote it. */
  readonly file: string;
  /** `--json`: stdout gets one object, as the verb's help documents it. */
  readonly json: boolean;
  /** `--site`. */
  readonly site: SiteName | undefined;
  /** What follows the verb and is no option. */
  readonly args: readonly string[];
  /** The verb's own options by name: text, or true for a flag; undefined when not given. */
  readonly options: Readonly<Record<string, string | true | undefined>>;
  /** Every verb of the program, for help and completion. */
  readonly verbs: readonly Verb[];
}

/** One verb of the command line. */
export interface Verb {
  readonly name: string;
  /** One line for `isthmus --help`. */
  readonly summary: string;
  /** What `--json` prints, one line for `isthmus VERB --help`; undefined for a verb without it. */
  readonly json?: string;
  /** Arguments after the verb, for help, such as `SHELL`; a verb without it takes none. */
  readonly args?: string;
  /** Options beside `-f`, `--json`, `--site` and `--help`. */
  readonly options: Readonly<Record<string, OptionSpec>>;
  run(context: VerbContext): Promise<Exit>;
}
