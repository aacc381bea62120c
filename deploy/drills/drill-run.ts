import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { LabSiteName } from "../lab/lab-file.ts";
import type { Say } from "../lab/lab.ts";
import { Checker } from "./checker.ts";
import type { Load, Verdict } from "./checker.ts";
import { DRILL_CACHE, DrillLab, PROOF_CACHE } from "./drill-lab.ts";
import { needsOf } from "./drill.ts";
import type { Drill, Expectation, Step, Whose } from "./drill.ts";
import { inWords, worst } from "./drill-report.ts";
import type { Check, DrillReport, Fault, StepDone } from "./drill-report.ts";
import { Probes } from "./probes.ts";
import { verifySites } from "./run-isthmus.ts";
import { StatusWatch } from "./status-watch.ts";

/** A drill with fewer acknowledged writes proves nothing. */
export const ACKNOWLEDGED_MIN = 10_000;
/** After its steps the load goes on until there are so many, but no longer than this, in ms. */
const MORE_LOAD_MS_MAX = 300_000;
/** Writes of all sites come through by then after the load began, in ms. */
const FIRST_PROBE_MS_MAX = 60_000;
/** Around a kill writers write as fast as they can, so that writes are in flight, but for no longer than this, in ms. */
const BURST_MS_MAX = 2_000;
/** A site listens to an Infinispan that is ready by then, in ms. */
const LISTENS_MS_MAX = 60_000;
/** Operations in flight at a site that is dead have failed by then, in ms. */
const FAILED_MS_MAX = 300;
/** A writer's thread hears of its answer by then, in ms: this machine may be busy with a site that starts. */
const LATE_MS_MAX = 1_000;
/** Between two looks at something that is to come true, in ms. */
const POLL_MS = 100;
/** Between two looks whether a site's process ended by itself, in ms; systemd waits as long before it starts it again. */
const SUPERVISE_MS = 2_000;

/** How a drill is run. */
export interface DrillOptions {
  /** Where its lab goes; must not exist. Removed again, unless the drill fails. */
  readonly folder: string;
  /** Repeats are as short as the drill's file allows. */
  readonly smoke: boolean;
  readonly say: Say;
  readonly signal: AbortSignal;
}

/** Undefined: what was looked for is there; else what is there instead. */
type Look = () => string | undefined | Promise<string | undefined>;

/** One fault that was not undone yet. */
interface OpenFault {
  readonly what: string;
  readonly from: number;
  to: number | undefined;
}

/** One run of a drill, from a lab of its own to a report. */
export class DrillRun {
  readonly #drill: Drill;
  readonly #options: DrillOptions;
  readonly #probes = new Probes();
  readonly #checks: Check[] = [];
  readonly #steps: StepDone[] = [];
  readonly #faults: OpenFault[] = [];
  readonly #windows: string[] = [];
  readonly #kills: string[] = [];
  /** Over all kills of whole sites. */
  readonly #survived = { keys: 0, lost: 0 };
  /** How long clients that were moved waited for their first answer, in ms; null: too long. */
  readonly #moves: (number | null)[] = [];
  #lab: DrillLab | undefined;
  #load: Load | undefined;
  #watch: StatusWatch | undefined;
  #acknowledged = 0;
  #isOver = false;

  constructor(drill: Drill, options: DrillOptions) {
    this.#drill = drill;
    this.#options = options;
  }

  /** Runs it. What fails is in the report; nothing that was started is left. */
  async run(): Promise<DrillReport> {
    const startedAt = Date.now();
    let why: string | null = null;
    let verdict: Verdict | null = null;
    try {
      verdict = await this.#rehearse();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      why = error.message;
      this.#check("the drill ran to its end", false, why);
    } finally {
      await this.#load?.end();
      await this.#watch?.stop();
    }
    const passed = this.#checks.every((check) => check.passed) && why === null;
    await this.#lab?.end(!passed);
    if (!passed) this.#options.say(`its logs and data are in ${this.#options.folder}`);
    return this.#report(startedAt, passed, why, verdict);
  }

  async #rehearse(): Promise<Verdict> {
    const { folder, say, signal } = this.#options;
    const { load: shape, after, steps } = this.#drill;
    const { sites } = this.#drill;
    const { frontDoor } = this.#drill;
    const shapeOfLab = { sites, needs: needsOf(this.#drill), frontDoor };
    const lab = await DrillLab.start(folder, shapeOfLab, say, signal);
    this.#lab = lab;
    const checker = new Checker(lab.caches());
    const proof = await checker.prove(PROOF_CACHE, join(folder, "proof.journal"));
    this.#check("the checker finds what was planted", proof.startsWith("proved"), proof);
    const journal = join(folder, "writes.journal");
    const doors = lab.doors(frontDoor?.at ?? []);
    this.#load = await checker.load(DRILL_CACHE, journal, shape, this.#probes, doors);
    this.#watch = new StatusWatch(lab.statusUrls());
    await this.#until("writes of each site show at the others", FIRST_PROBE_MS_MAX, () =>
      this.#probes.ways().length === sites.length * (sites.length - 1) &&
      this.#probes.ways().every((way) => this.#probes.of(way).length > 0)
        ? undefined
        : "they do not yet",
    );
    const supervised = this.#supervise(lab);
    try {
      for (const step of steps) await this.#do(step);
      await this.#enoughWrites(this.#load);
    } finally {
      this.#isOver = true;
      await supervised;
    }
    this.#acknowledged = await this.#load.stop();
    say(`${this.#acknowledged} acknowledged writes; comparing the sites with them`);
    const verdict = await checker.judge(
      DRILL_CACHE,
      journal,
      after.equalWithinMs,
      this.#windows,
      this.#kills,
    );
    await this.#judge(verdict);
    return verdict;
  }

  /** A site's process that ends by itself is started again, and the report tells of it. */
  async #supervise(lab: DrillLab): Promise<void> {
    while (!this.#isOver) {
      await sleep(SUPERVISE_MS);
      const from = Date.now();
      try {
        for (const what of await lab.supervise()) {
          this.#options.say(`${what}; started again`);
          this.#steps.push({ what, from, to: Date.now() });
        }
      } catch (error) {
        // It ended again while it started: the next look starts it once more.
        this.#options.say(error instanceof Error ? error.message : String(error));
      }
    }
  }

  async #enoughWrites(load: Load): Promise<void> {
    const deadline = Date.now() + MORE_LOAD_MS_MAX;
    while (load.acknowledged < ACKNOWLEDGED_MIN && Date.now() < deadline)
      await sleep(POLL_MS, undefined, { signal: this.#options.signal });
  }

  async #judge(verdict: Verdict): Promise<void> {
    const { after } = this.#drill;
    const none = (name: string, count: number): void =>
      this.#check(name, count === 0, `${count} of ${verdict.acknowledged} acknowledged`);
    none("no acknowledged write is lost", verdict.lost);
    none("no value is altered", verdict.altered);
    none("no delete is undone", verdict.resurrected);
    none("no key shows that nobody wrote", verdict.unexpected);
    this.#check(
      `the sites are equal within ${inWords(after.equalWithinMs)} after the load`,
      verdict.differing === 0,
      `${verdict.differing} keys differ after ${inWords(verdict.settledMs)}` +
        verdict.examples.map((example) => `; ${example}`).join(""),
    );
    this.#check(
      `at least ${ACKNOWLEDGED_MIN} writes were acknowledged`,
      verdict.acknowledged >= ACKNOWLEDGED_MIN,
      `${verdict.acknowledged}`,
    );
    if (this.#kills.length > 0)
      this.#check(
        "writes were in flight at each kill",
        verdict.inFlight.every((count) => count > 0),
        `${this.#kills.length} kills; in flight at least ${Math.min(...verdict.inFlight)}`,
      );
    this.#judgeHolds(verdict);
    await this.#expect({
      withinMs: after.equalWithinMs,
      level: true,
      lagBelowMs: undefined,
      gapAt: undefined,
      problem: undefined,
      refilled: undefined,
    });
    const faults = this.#measured();
    this.#below("RTO", after.rtoBelowMs, worst(faults.flatMap((f) => Object.values(f.rtoMs))));
    const recovery = worst(faults.flatMap((f) => Object.values(f.recoveryMs)));
    this.#below("recovery after a fault's end", after.recoveryBelowMs, recovery);
  }

  #judgeHolds({ longestMs }: Verdict): void {
    const { frontDoor } = this.#drill;
    if (frontDoor === undefined) return;
    const { keys, lost } = this.#survived;
    this.#check(
      "what a dead site had acknowledged is elsewhere at that moment (I5)",
      keys > 0 && lost === 0,
      `${lost} of ${keys} keys, looked for at ${this.#kills.length} kills, are not as acknowledged`,
    );
    const mostMs = frontDoor.timeoutMs + LATE_MS_MAX;
    this.#check(
      `no write waits longer than the budget of ${inWords(frontDoor.timeoutMs)} (I10)`,
      longestMs <= mostMs,
      `the longest took ${inWords(longestMs)}`,
    );
  }

  #below(name: string, belowMs: number | undefined, found: number | null): void {
    if (belowMs === undefined) return;
    const passed = found !== null && found < belowMs;
    this.#check(`${name} below ${inWords(belowMs)}`, passed, inWords(found));
  }

  async #do(step: Step): Promise<void> {
    if (step.action === "repeat") {
      const times = this.#options.smoke ? Math.min(step.inSmoke, step.times) : step.times;
      for (let i = 0; i < times; i++) for (const each of step.steps) await this.#do(each);
      return;
    }
    const what = inText(step);
    this.#options.say(`${what} (${this.#load?.acknowledged ?? 0} writes so far)`);
    const from = Date.now();
    try {
      await this.#act(step, what);
    } finally {
      this.#steps.push({ what, from, to: Date.now() });
    }
  }

  async #act(step: Exclude<Step, { action: "repeat" }>, what: string): Promise<void> {
    const lab = this.#lab;
    const load = this.#load;
    if (lab === undefined || load === undefined) throw new Error("no lab");
    switch (step.action) {
      case "run":
        await sleep(step.ms, undefined, { signal: this.#options.signal });
        return;
      case "run-about": {
        const ms = step.fromMs + Math.random() * (step.toMs - step.fromMs);
        await sleep(ms, undefined, { signal: this.#options.signal });
        return;
      }
      case "cut":
        this.#begin(what);
        if (step.way === "both") return lab.link().enable(false);
        return lab
          .link()
          .poison("timeout", step.way === "lon-to-nyc" ? "upstream" : "downstream", { timeout: 0 });
      case "delay":
        return this.#both(what, "latency", { latency: step.ms, jitter: step.jitterMs });
      case "slow":
        return this.#both(what, "bandwidth", { rate: Math.ceil(step.bytesPerSecond / 1024) });
      case "flaky":
        return this.#both(what, "reset_peer", { timeout: step.ms });
      case "heal":
        await lab.heal();
        return this.#over();
      case "kill":
        return this.#kill(step, step.mayLoseMs, what);
      case "kill-site":
        return this.#killSite(step.at, what);
      case "start-site":
        return this.#startEmpty(step.at, load, () => lab.startSite(step.at));
      case "move-traffic":
        return this.#moveTraffic(step, load);
      case "verify":
        return this.#verify(lab, step.withinMs);
      case "pause":
        this.#begin(what);
        await lab.pause(step, step.ms);
        return this.#over();
      case "start":
        if (step.process === "infinispan")
          return this.#startEmpty(step.at, load, () => lab.startEmpty(step.at));
        await lab.start(step);
        return this.#over();
      case "stop":
        this.#begin(what);
        if (step.process === "infinispan") load.away(step.at);
        return lab.stop(step);
      case "skew-clock":
        this.#begin(what);
        await lab.skewClock(step.at, step.byMs);
        return this.#over();
      case "fill-disk":
        this.#begin(what);
        return lab.fillDisk(step.at);
      case "remove-folder":
        return lab.removeFolder(step.folder, step.at);
      case "start-second":
        return this.#check("a second process of a site ends", true, await lab.startSecond(step.at));
      case "expect":
        return this.#expect(step.expectation);
    }
  }

  async #startEmpty(at: LabSiteName, load: Load, start: () => Promise<number>): Promise<void> {
    await load.shot(at);
    const from = Date.now();
    const hung = await start();
    if (hung > 0) {
      const what = `Infinispan ${at} hung ${hung} times at its start and was killed`;
      this.#options.say(`${what}; its threads are in its log`);
      this.#steps.push({ what, from, to: Date.now() });
    }
    this.#over();
    await this.#backAt(at, load);
  }

  async #backAt(at: LabSiteName, load: Load): Promise<void> {
    load.back(at);
    const look = () => (this.#watch?.listens(at) === true ? undefined : "its cache is blocked");
    await this.#until(`${at} listens to its cache again`, LISTENS_MS_MAX, look);
    load.heard(at);
  }

  async #both(what: string, toxic: string, attributes: Record<string, number>): Promise<void> {
    this.#begin(what);
    const link = this.#lab?.link();
    for (const stream of ["upstream", "downstream"] as const)
      await link?.poison(toxic, stream, attributes);
  }

  async #kill(whose: Whose, mayLoseMs: number, what: string): Promise<void> {
    await this.#load?.burst(BURST_MS_MAX);
    this.#begin(what);
    const moment = await this.#lab?.kill(whose);
    this.#load?.calm();
    if (moment === undefined) return;
    if (whose.process === "infinispan") this.#load?.away(whose.at);
    this.#kills.push(`${moment.from}-${moment.to}`);
    // Operations that were answered while it died belong to it too.
    const { from } = moment;
    if (mayLoseMs > 0) this.#windows.push([whose.at, from - mayLoseMs, from, Date.now()].join("@"));
  }

  /** What the site's writers were told of must be elsewhere when it dies: it is looked for before any of it is started again. */
  async #killSite(at: LabSiteName, what: string): Promise<void> {
    const [lab, load] = [this.#lab, this.#load];
    if (lab === undefined || load === undefined) return;
    await load.burst(BURST_MS_MAX);
    this.#begin(what);
    const moment = await lab.killSite(at);
    load.calm();
    load.away(at);
    this.#kills.push(`${moment.from}-${moment.to}`);
    // Those that were in flight have failed by then.
    await sleep(FAILED_MS_MAX);
    const { checked, lost, example } = await load.survived(at);
    this.#survived.keys += checked;
    this.#survived.lost += lost;
    if (lost > 0) this.#check(`what ${at} acknowledged is elsewhere when it dies`, false, example);
  }

  async #moveTraffic(
    { of, to, withinMs }: Extract<Step, { action: "move-traffic" }>,
    load: Load,
  ): Promise<void> {
    const { firstMs, allMs } = await load.move(of, to, withinMs);
    const isServed = allMs >= 0;
    this.#moves.push(isServed ? allMs : null);
    const [first, all] = [firstMs, allMs].map((ms) => (ms < 0 ? "never" : inWords(ms)));
    this.#check(
      `all writers of ${of} are served at ${to} within ${inWords(withinMs)}`,
      isServed,
      `first answer after ${first}, all after ${all}`,
    );
  }

  async #verify(lab: DrillLab, withinMs: number): Promise<void> {
    let said = "";
    const found = await this.#poll(withinMs, async () => {
      const verified = await verifySites(lab.file, DRILL_CACHE);
      said = verified.said;
      return verified.isEqual ? undefined : verified.said;
    });
    this.#check("isthmus verify finds no difference", found === undefined, said);
  }

  #begin(what: string): void {
    this.#faults.push({ what, from: Date.now(), to: undefined });
  }

  #over(): void {
    for (const fault of this.#faults) fault.to ??= Date.now();
  }

  async #expect(expectation: Expectation): Promise<void> {
    const { withinMs, lagBelowMs, gapAt, problem, level, refilled } = expectation;
    const told = () => this.#watch?.told() ?? [];
    const looks: [name: string, look: Look][] = [];
    if (lagBelowMs !== undefined)
      looks.push([
        `the lag is below ${inWords(lagBelowMs)}`,
        () => {
          const waiting = this.#probes.waitingMs(Date.now());
          return waiting < lagBelowMs ? undefined : `a write waits for ${inWords(waiting)}`;
        },
      ]);
    if (gapAt !== undefined)
      looks.push([
        `${gapAt} reported a gap`,
        () =>
          told().some(({ at, kind }) => at === gapAt && kind === "gap") ? undefined : "none yet",
      ]);
    if (problem !== undefined)
      looks.push([
        `${problem.at} told of ${JSON.stringify(problem.says)}`,
        () =>
          told().some(({ at, what }) => at === problem.at && what.includes(problem.says))
            ? undefined
            : "not yet",
      ]);
    if (level === true)
      looks.push([
        "all sites say that they are up to date, without a gap or a problem",
        () => this.#watch?.whyNotLevel(),
      ]);
    if (refilled !== undefined)
      looks.push([
        `${refilled} has got back what it lost`,
        async () => {
          const missing = (await this.#load?.missing(refilled)) ?? 0;
          return missing === 0 ? undefined : `${missing} keys are missing or otherwise`;
        },
      ]);
    for (const [name, look] of looks) {
      const begin = Date.now();
      const found = await this.#poll(withinMs, look);
      this.#check(name, found === undefined, found ?? `after ${inWords(Date.now() - begin)}`);
    }
  }

  /** Undefined once `look` answers so; else its last answer. */
  async #poll(withinMs: number, look: Look): Promise<string | undefined> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const found = await look();
      if (found === undefined || Date.now() >= deadline) return found;
      await sleep(POLL_MS, undefined, { signal: this.#options.signal });
    }
  }

  async #until(what: string, withinMs: number, look: Look): Promise<void> {
    const found = await this.#poll(withinMs, look);
    if (found === undefined) return;
    throw new IsthmusError(ErrorCode.DrillStepFailed, `${what}: ${found}, ${inWords(withinMs)} on`);
  }

  #check(name: string, passed: boolean, detail: string): void {
    this.#checks.push({ name, passed, detail });
    if (!passed) this.#options.say(`FAILED ${name}: ${detail}`);
  }

  #measured(): Fault[] {
    const now = Date.now();
    return this.#faults.map(({ what, from, to = now }) => {
      const held = this.#probes
        .ways()
        .map((way) => [way, this.#probes.during(way, from, to)] as const);
      const rtoMs = Object.fromEntries(held.map(([way, each]) => [way, each?.rtoMs ?? null]));
      const recoveryMs = Object.fromEntries(
        held.map(([way, each]) => [way, each?.recoveryMs ?? null]),
      );
      return { what, from, to, rtoMs, recoveryMs };
    });
  }

  #report(
    startedAt: number,
    passed: boolean,
    why: string | null,
    verdict: Verdict | null,
  ): DrillReport {
    const faults = this.#measured();
    const ways = this.#probes.ways();
    const lags = ways.flatMap((way) => {
      const lag = this.#probes.lag(way);
      return lag === undefined ? [] : [[way, lag] as const];
    });
    const points = ways.map((way) => [
      way,
      this.#probes.of(way).map((seen) => [seen.writtenAt, seen.seenAt - seen.writtenAt] as const),
    ]);
    const { lost = 0, resurrected = 0, excused = 0 } = verdict ?? {};
    return {
      name: this.#drill.name,
      summary: this.#drill.summary,
      outcome: passed ? "passed" : "failed",
      why,
      startedAt,
      endedAt: Date.now(),
      checks: this.#checks,
      rtoMs: worst(
        this.#moves.length > 0
          ? this.#moves
          : faults.flatMap((fault) => Object.values(fault.rtoMs)),
      ),
      recoveryMs: worst(faults.flatMap((fault) => Object.values(fault.recoveryMs))),
      rpo: verdict === null ? null : lost + resurrected + excused,
      load: { acknowledged: this.#acknowledged, failed: this.#load?.failed ?? 0 },
      verdict,
      lag: Object.fromEntries(lags),
      faults,
      steps: this.#steps,
      told: this.#watch?.told() ?? [],
      probes: Object.fromEntries(points) as DrillReport["probes"],
    };
  }
}

/** A step in words, such as `kill site nyc`. */
function inText(step: Exclude<Step, { action: "repeat" }>): string {
  switch (step.action) {
    case "run":
      return `run ${inWords(step.ms)}`;
    case "run-about":
      return `run ${inWords(step.fromMs)} to ${inWords(step.toMs)}`;
    case "cut":
      return `cut ${step.way}`;
    case "delay":
      return `delay ${inWords(step.ms)} ± ${inWords(step.jitterMs)}`;
    case "slow":
      return `slow ${step.bytesPerSecond / 1024} KiB/s`;
    case "flaky":
      return `flaky: connections last ${inWords(step.ms)}`;
    case "move-traffic":
      return `move-traffic of ${step.of} to ${step.to}`;
    case "pause":
      return `pause ${step.process} ${step.at} ${inWords(step.ms)}`;
    case "kill":
    case "start":
    case "stop":
      return `${step.action} ${step.process} ${step.at}`;
    case "skew-clock":
      return `skew-clock ${step.at} ${inWords(step.byMs)}`;
    case "remove-folder":
      return `remove-folder ${step.folder} ${step.at}`;
    case "fill-disk":
    case "start-second":
    case "kill-site":
    case "start-site":
      return `${step.action} ${step.at}`;
    case "heal":
    case "verify":
    case "expect":
      return step.action;
  }
}
