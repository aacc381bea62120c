import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { which } from "../lab/which.ts";
import type { LoadShape } from "./drill.ts";
import type { Probes } from "./probes.ts";

/** Heap of each of the checker's processes, in MiB. */
const HEAP_MIB = 256;
/** Writing threads a site: so many writes can be in flight there. */
const THREADS_PER_SITE = 8;
/** First words of its answers to {@link Load}'s questions. */
const ANSWERS: ReadonlySet<string> = new Set(["shot", "missing", "burst", "survived", "moved"]);
/** Its answer fits in this many bytes, and so does what its client warns of in two minutes. */
const ANSWER_BYTES_MAX = 2 ** 26;

/** A site's Infinispan, `name@host:port`. */
export type CacheAddress = string;

/** What the checker found when it compared both caches with what was acknowledged. */
export interface Verdict {
  /** Acknowledged writes, forced to the checker's disk. */
  readonly acknowledged: number;
  /** Operations whose outcome is not known. */
  readonly unknown: number;
  /** Keys whose acknowledged writes are gone where the drill says that they may be. */
  readonly excused: number;
  /** How long before the kill the oldest of those was acknowledged, in ms. */
  readonly excusedMs: number;
  /** How long it took until nothing was wrong any more, in ms. */
  readonly settledMs: number;
  /** How long the longest operation took, answered or not, in ms. */
  readonly longestMs: number;
  /** Keys, once a site. */
  readonly lost: number;
  readonly altered: number;
  readonly resurrected: number;
  readonly unexpected: number;
  readonly differing: number;
  /** Operations in flight at each kill. */
  readonly inFlight: readonly number[];
  readonly examples: readonly string[];
}

/** What is left of what writers of a dead site were told of. */
export interface Survived {
  /** Keys. */
  readonly checked: number;
  /** Of them, those that another site does not hold as it was acknowledged. */
  readonly lost: number;
  readonly example: string;
}

/** Java, and what makes it one of the checker's processes. @throws Error when Java or the client's jars cannot be had */
async function checkerCommand(args: readonly string[]): Promise<[java: string, argv: string[]]> {
  const memory = [`-Xmx${HEAP_MIB}m`, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
  const argv = [...memory, "-cp", await which("drill-checker"), "Checker", ...args];
  return [await which("java"), argv];
}

/** Starts a process of the checker's that talks to us; what its client warns of goes to the file `log`. @throws Error as above */
export async function startChecker(args: readonly string[], log: string): Promise<ChildProcess> {
  const [java, argv] = await checkerCommand(args);
  const talk = openSync(log, "a");
  const child = spawn(java, argv, { stdio: ["pipe", "pipe", talk] });
  closeSync(talk);
  return child;
}

/** The judge of a drill: Java processes that share no code with Isthmus, and keep their own record of what was acknowledged. */
export class Checker {
  readonly #sites: string;

  constructor(sites: readonly CacheAddress[]) {
    this.#sites = `sites=${sites.join(",")}`;
  }

  /** Has the checker find planted faults in `cache`, which nothing replicates. @throws IsthmusError DrillCheckerFailed */
  async prove(cache: string, journal: string): Promise<string> {
    return this.#run(["prove", this.#sites, `cache=${cache}`, `journal=${journal}`]);
  }

  /** Starts writing at all sites, or through these front doors alone; every probe goes to `probes`. */
  async load(
    cache: string,
    journal: string,
    shape: LoadShape,
    probes: Probes,
    doors: readonly CacheAddress[],
  ): Promise<Load> {
    const args = [
      this.#sites,
      `doors=${doors.join(",")}`,
      `cache=${cache}`,
      `journal=${journal}`,
      `threads=${THREADS_PER_SITE}`,
      `rate=${shape.rate}`,
      `keys=${shape.keys}`,
      `conflictKeys=${shape.conflictKeys}`,
      `conflicts=${shape.conflicts}`,
      `removes=${shape.removes}`,
    ];
    return Load.begin(await startChecker(["write", ...args], `${journal}.log`), probes);
  }

  /**
   * What the caches hold, against the journal; asked again for `settleMs` while something is wrong. `windows` are
   * `site@fromMs@killedMs@toMs`, `kills` are `fromMs-toMs`. @throws IsthmusError DrillCheckerFailed
   */
  async judge(
    cache: string,
    journal: string,
    settleMs: number,
    windows: readonly string[],
    kills: readonly string[],
  ): Promise<Verdict> {
    const answer = await this.#run([
      "check",
      this.#sites,
      `cache=${cache}`,
      `journal=${journal}`,
      `settleMs=${settleMs}`,
      `windows=${windows.join(",")}`,
      `kills=${kills.join(",")}`,
    ]);
    return JSON.parse(answer) as Verdict;
  }

  async #run(args: readonly string[]): Promise<string> {
    try {
      const options = { maxBuffer: ANSWER_BYTES_MAX };
      const [java, argv] = await checkerCommand(args);
      const { stdout } = await promisify(execFile)(java, argv, options);
      return stdout.trim().split("\n").at(-1) ?? "";
    } catch (cause) {
      const said = (cause as { stderr?: string }).stderr?.trim().split("\n") ?? [];
      // The client warns of much that it gets over, exceptions included.
      const why = said.find((line) => line.startsWith("Exception")) ?? said.at(-1) ?? String(cause);
      throw new IsthmusError(ErrorCode.DrillCheckerFailed, `the checker: ${why}`, { cause });
    }
  }
}

/** Writers at all sites, in the checker's own process. */
export class Load {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #acknowledged = 0;
  #failed = 0;
  #stopped: string | undefined;
  #onAnswer: (line: string) => void = () => undefined;

  private constructor(child: ChildProcess, probes: Probes) {
    this.#child = child;
    this.#ended = once(child, "exit");
    if (child.stdout === null) throw new Error("the writers have no output");
    createInterface({ input: child.stdout }).on("line", (line) => this.#hear(line, probes));
  }

  /** Resolves once it writes. */
  static async begin(child: ChildProcess, probes: Probes): Promise<Load> {
    const load = new Load(child, probes);
    if (child.stdout === null) throw new Error("the writers have no output");
    const ready = new Promise<void>((resolve) => {
      child.stdout?.once("data", () => resolve());
    });
    await Promise.race([ready, load.#ended]);
    load.#mustRun();
    return load;
  }

  /** Writes that were acknowledged and forced to the checker's disk. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Writes that were answered by an error, or by nothing. */
  get failed(): number {
    return this.#failed;
  }

  /**
   * Writes as fast as it goes until {@link Load.calm}, but for at most so long; resolves once operations are in flight. @throws
   * IsthmusError DrillCheckerFailed when it ended
   */
  async burst(msMax: number): Promise<void> {
    await this.#ask(`burst ${msMax}`);
  }

  /** Ends a burst. @throws IsthmusError DrillCheckerFailed when it ended */
  calm(): void {
    this.#tell("calm");
  }

  /**
   * Notes what the other sites hold of the keys that `dead` alone writes: it must not be gone in the end, whatever a kill
   * excuses. @throws IsthmusError DrillCheckerFailed when it ended
   */
  async shot(dead: string): Promise<void> {
    await this.#ask(`shot ${dead}`);
  }

  /**
   * How many keys a site's cache lacks, or holds otherwise, that the other sites have held unchanged for a while. @throws
   * IsthmusError DrillCheckerFailed when it ended
   */
  async missing(at: string): Promise<number> {
    const answer = await this.#ask(`missing ${at}`);
    return Number(answer.split(" ").at(-1));
  }

  /**
   * What the other sites hold right now of the keys that `dead` alone writes, beside what its writers were told of. @throws
   * IsthmusError DrillCheckerFailed when it ended
   */
  async survived(dead: string): Promise<Survived> {
    const answer = await this.#ask(`survived ${dead}`);
    const [, checked = "", lost = "", ...example] = answer.split(" ");
    return { checked: Number(checked), lost: Number(lost), example: example.join(" ") };
  }

  /**
   * Sends a site's writers to another front door, or back; resolves with how long it took until the first and until each of
   * them was answered there, in ms; -1: longer than `msMax`. @throws IsthmusError DrillCheckerFailed when it ended
   */
  async move(of: string, to: string, msMax: number): Promise<{ firstMs: number; allMs: number }> {
    const [, firstMs, allMs] = (await this.#ask(`move ${of} ${to} ${msMax}`)).split(" ");
    return { firstMs: Number(firstMs), allMs: Number(allMs) };
  }

  /** Nobody writes at this site, whose Infinispan is not there, until {@link Load.back}. */
  away(at: string): void {
    this.#tell(`away ${at}`);
  }

  /** See {@link Load.away}; nobody removes there until {@link Load.heard}. */
  back(at: string): void {
    this.#tell(`back ${at}`);
  }

  /** The site's Isthmus listens again. */
  heard(at: string): void {
    this.#tell(`heard ${at}`);
  }

  /** Stops, and resolves with the number of acknowledged writes. @throws IsthmusError DrillCheckerFailed */
  async stop(): Promise<number> {
    this.#tell("stop");
    await this.#ended;
    if (this.#stopped === undefined) this.#mustRun();
    return this.#acknowledged;
  }

  /** Ends it, whatever it does. */
  async end(): Promise<void> {
    if (this.#isOver()) return;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Commands are answered in turn, so only one is asked at a time. */
  async #ask(command: string): Promise<string> {
    const answer = new Promise<string>((resolve) => {
      this.#onAnswer = resolve;
    });
    this.#tell(command);
    const ended = this.#ended.then(() => "");
    const said = await Promise.race([answer, ended]);
    this.#mustRun();
    return said;
  }

  #tell(command: string): void {
    this.#mustRun();
    this.#child.stdin?.write(`${command}\n`);
  }

  #isOver(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #mustRun(): void {
    if (!this.#isOver()) return;
    const how = this.#child.signalCode ?? `exit ${this.#child.exitCode}`;
    throw new IsthmusError(ErrorCode.DrillCheckerFailed, `the checker's writers ended: ${how}`);
  }

  #hear(line: string, probes: Probes): void {
    const [word, ...rest] = line.split(" ");
    if (word === "probe" || word === "seen") {
      const [from = "", to = "", n, at] = rest;
      if (word === "probe") probes.written(`${from} to ${to}`, Number(n), Number(at));
      else probes.seen(`${from} to ${to}`, Number(n), Number(at));
    } else if (ANSWERS.has(word ?? "")) this.#onAnswer(line);
    else if (word === "acked" || word === "stopped") {
      this.#acknowledged = Number(rest[0]);
      this.#failed = Number(rest[1]);
      if (word === "stopped") this.#stopped = line;
    }
  }
}
