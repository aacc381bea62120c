import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { labShape } from "../../lab/lab-file.ts";
import { Lab } from "../../lab/lab.ts";
import type { LabProcess } from "../../lab/lab-state.ts";
import { inWords, withoutLoad } from "../drill-report.ts";
import type { Check, DrillReport } from "../drill-report.ts";
import type { DrillOptions } from "../drill-run.ts";
import type { Rehearsal } from "../rehearsals.ts";
import { labKeycloaks } from "../keycloak/lab-sites.ts";
import { verifySites } from "../run-isthmus.ts";
import { KeycloakTraffic } from "./keycloak-traffic.ts";
import { MixedLoad } from "./mixed-load.ts";

/** The cache of the Java client, which goes under `sync` beside Keycloak's. */
const CACHE = "soak";
/** Operations a second of the Java client, over both doors. */
const RATE = 200;
const TELL_MS = 60_000;
/** Nothing that is held waits for longer than the budget of its cache, and a busy machine, in ms. */
const LONGEST_MS_MAX = 5_000;
/** Fewer prove nothing, a minute of the soak. */
const OPERATIONS_PER_MINUTE_MIN = 3_000;
const LOGINS_PER_MINUTE_MIN = 10;
const VERIFY_MS_MAX = 120_000;
/** Lines of a log that a report shows. */
const LINES_MAX = 5;

/** What of a Keycloak's, Infinispan's or Isthmus's log tells of a protocol that broke. */
const BROKEN = {
  keycloak:
    /HotRodClientException|TransportException|InvalidResponseException|ERROR \[org\.infinispan/,
  infinispan:
    /InvalidMagicIdException|UnknownOperationException|UnknownVersionException|ISPN00(?:5003|5009)/,
  isthmus: /"level":(?:50|60)/,
} as const;

/** Everything that clients do, through the front doors of both sites, for a long time, without one error of the protocol. */
class SoakRun {
  readonly #options: DrillOptions;
  readonly #name: string;
  readonly #durationMs: number;
  readonly #checks: Check[] = [];
  readonly #lab: Lab;
  #client: MixedLoad | undefined;
  #traffic: KeycloakTraffic | undefined;

  constructor(name: string, durationMs: number, options: DrillOptions) {
    this.#name = name;
    this.#durationMs = durationMs;
    this.#options = options;
    this.#lab = new Lab(options.folder, options.say);
  }

  /** Runs it. What fails is in the report; nothing that was started is left. */
  async run(): Promise<DrillReport> {
    const startedAt = Date.now();
    let why: string | null = null;
    try {
      await this.#soak();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      why = error.message;
      this.#check("the soak ran to its end", false, why);
    } finally {
      await this.#client?.end();
      await this.#traffic?.stop();
    }
    const passed = why === null && this.#checks.every((check) => check.passed);
    await this.#lab.down(!passed);
    if (!passed) this.#options.say(`its logs and data are in ${this.#options.folder}`);
    const name = this.#name;
    const summary = soakSummary(this.#durationMs);
    const outcome = passed ? "passed" : "failed";
    return withoutLoad({ name, summary, outcome, why, startedAt, checks: this.#checks });
  }

  async #soak(): Promise<void> {
    const { signal, folder, say } = this.#options;
    const shape = labShape("infinispan");
    const rules = [`{ match: ${CACHE}, mode: sync }`, ...shape.rules];
    await this.#lab.up(undefined, signal, {
      ...shape,
      rules,
      caches: { ...shape.caches, [CACHE]: {} },
    });
    const { parts = [] } = (await this.#lab.status()) ?? {};
    const doors = parts
      .filter(({ kind }) => kind === "isthmus")
      .map(({ site, ports }) => `${site}@127.0.0.1:${ports["door"]}`);
    this.#client = await MixedLoad.start(doors, CACHE, RATE, join(folder, "client.log"));
    this.#traffic = new KeycloakTraffic(labKeycloaks(parts));
    await this.#traffic.start();
    const end = Date.now() + this.#durationMs;
    while (Date.now() < end) {
      await sleep(Math.min(TELL_MS, end - Date.now()), undefined, { signal });
      const { logins, errors } = this.#traffic.report;
      say(`${this.#client.soFar}; ${logins} logins, ${errors} errors`);
    }
    await this.#judge(this.#client, this.#traffic, parts);
  }

  async #judge(
    client: MixedLoad,
    traffic: KeycloakTraffic,
    parts: readonly LabProcess[],
  ): Promise<void> {
    const people = await traffic.stop();
    const done = await client.stop();
    const minutes = this.#durationMs / 60_000;
    const examples = (all: readonly string[]) => all.map((example) => `; ${example}`).join("");
    const kinds = Object.keys(done.kinds).length;
    this.#check(
      "the Java client met no error",
      done.errors === 0 && done.operations >= OPERATIONS_PER_MINUTE_MIN * minutes,
      `${done.errors} of ${done.operations} operations of ${kinds} kinds, ${done.events} events${examples(done.examples)}`,
    );
    this.#check("each answer was the right one", done.wrong === 0, `${done.wrong} were not`);
    this.#check(
      `no operation took longer than ${inWords(LONGEST_MS_MAX)}`,
      done.longestMs <= LONGEST_MS_MAX,
      `the longest took ${inWords(done.longestMs)}`,
    );
    this.#check(
      "nobody who used Keycloak met an error",
      people.errors === 0 && people.logins >= LOGINS_PER_MINUTE_MIN * minutes,
      `${people.errors} of ${people.logins} logins with ${people.steps} steps${examples(people.examples)}`,
    );
    for (const part of parts) this.#judgeLog(part);
    for (const part of parts.filter(({ kind }) => kind === "isthmus")) await this.#judgeDoor(part);
    const deadline = Date.now() + VERIFY_MS_MAX;
    let verified = await verifySites(this.#lab.folder.file);
    while (!verified.isEqual && Date.now() < deadline)
      verified = await verifySites(this.#lab.folder.file);
    this.#check("isthmus verify finds no difference", verified.isEqual, verified.said);
  }

  #judgeLog({ kind, name, log }: LabProcess): void {
    if (!(kind in BROKEN)) return;
    const pattern = BROKEN[kind as keyof typeof BROKEN];
    const lines = readFileSync(log, "utf8").split("\n");
    const bad = lines.filter((line) => pattern.test(line));
    const shown = bad.slice(0, LINES_MAX).map((line) => `; ${line.slice(0, 300)}`);
    const detail = `${bad.length} of ${lines.length} lines${shown.join("")}`;
    this.#check(`the log of ${name} tells of no broken protocol`, bad.length === 0, detail);
  }

  async #judgeDoor({ name, ports }: LabProcess): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${ports["http"]}/metrics`);
    const text = await response.text();
    const value = (metric: string) =>
      Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text)?.[1] ?? Number.NaN);
    const ended = value("isthmus_front_door_protocol_errors_total");
    const requests = value("isthmus_front_door_requests_total");
    this.#check(
      `the front door of ${name} ended no connection for what came over it`,
      ended === 0 && requests > 0,
      `${ended}, with ${requests} requests`,
    );
  }

  #check(name: string, passed: boolean, detail: string): void {
    this.#checks.push({ name, passed, detail });
    if (!passed) this.#options.say(`FAILED ${name}: ${detail}`);
  }
}

/** What a soak of that length is, in a line. */
const soakSummary = (durationMs: number): string =>
  `Infinispan's Java client and people at two Keycloaks use the front doors of both sites for ${durationMs / 60_000} minutes, without one error of the protocol`;

const soakOf = (name: string, durationMs: number): Rehearsal => ({
  name,
  summary: soakSummary(durationMs),
  groups: [],
  alone: true,
  needs: ["keycloak"],
  run: (options) => new SoakRun(name, durationMs, options).run(),
});

/** The soak that comes with Isthmus, and a short one for whoever wants to see what it does. */
export const soaks: readonly Rehearsal[] = [
  soakOf("soak", 30 * 60_000),
  soakOf("soak-short", 3 * 60_000),
];
