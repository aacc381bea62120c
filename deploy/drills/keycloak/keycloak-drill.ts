import { setTimeout as sleep } from "node:timers/promises";
import type { KeycloakSessions } from "../../lab/lab-file.ts";
import { which } from "../../lab/which.ts";
import { inWords, skipped } from "../drill-report.ts";
import type { Check, DrillReport } from "../drill-report.ts";
import type { DrillOptions } from "../drill-run.ts";
import type { Rehearsal } from "../rehearsals.ts";
import { StatusWatch } from "../status-watch.ts";
import { KeycloakLab } from "./keycloak-lab.ts";
import type { Row } from "./row.ts";
import { TOPICS, isTriedWith } from "./rows.ts";

/** A row that takes longer has failed, ms; the longest takes a fifth of it. */
const ROW_MS_MAX = 300_000;

/** Two real Keycloaks behind front doors, and people who log in to them. */
export class KeycloakDrill implements Rehearsal {
  readonly name: string;
  readonly summary: string;
  readonly groups: readonly [] = [];
  readonly alone = true;
  readonly needs = ["keycloak"] as const;
  readonly #sessions: KeycloakSessions;

  constructor(name: string, summary: string, sessions: KeycloakSessions) {
    this.name = name;
    this.summary = summary;
    this.#sessions = sessions;
  }

  /** Runs every row. What fails is in the report; nothing that was started is left. */
  async run({ folder, say, signal }: DrillOptions): Promise<DrillReport> {
    const report = skipped(this.name, this.summary, "", false);
    const checks: Check[] = [];
    let why: string | null = null;
    let lab: KeycloakLab | undefined;
    let watch: StatusWatch | undefined;
    try {
      lab = await KeycloakLab.start(folder, this.#sessions, say, signal);
      watch = new StatusWatch(lab.statusUrls());
      for (const { topic, rows } of TOPICS)
        for (const row of rows) {
          if (!isTriedWith(row, this.#sessions)) continue;
          signal.throwIfAborted();
          const check = await tried(topic, row, lab);
          checks.push(check);
          say(`${check.passed ? "ok" : "FAILED"} ${check.name}: ${check.detail}`);
          if (!check.passed) await mended(lab, say);
        }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      why = error.message;
      checks.push({ name: "the drill ran to its end", passed: false, detail: why });
    } finally {
      await watch?.stop();
    }
    const passed = why === null && checks.every((check) => check.passed);
    await lab?.end(!passed);
    if (!passed) say(`its logs and data are in ${folder}`);
    const told = watch?.told() ?? [];
    const outcome = passed ? "passed" : "failed";
    return { ...report, outcome, why, checks, told, endedAt: Date.now() };
  }
}

/** Tries a row, whatever comes of it. The check's name has the numbers of its scenarios. */
export async function tried(topic: string, row: Row, lab: KeycloakLab): Promise<Check> {
  const numbers = row.scenarios.length === 0 ? "" : ` (${row.scenarios.join(", ")})`;
  const name = `${topic}: ${row.name}${numbers}`;
  const missing = await whyMissing(row);
  if (missing !== undefined) {
    const passed = !(process.env["ISTHMUS_REQUIRE"] ?? "").split(",").includes(row.needs ?? "");
    return { name, passed, isSkipped: passed, detail: `SKIPPED: ${missing}` };
  }
  const from = performance.now();
  let said: string | void;
  let passed = true;
  try {
    said = await inTime(row.run(lab), lab.signal);
  } catch (error) {
    passed = false;
    said = (error as Error).message;
  }
  const ms = performance.now() - from;
  const took = inWords(ms);
  return { name, passed, ms, detail: typeof said === "string" ? `${said}, ${took}` : took };
}

/** Why a row cannot be tried on this machine; undefined: it can. */
export async function whyMissing({ needs }: Row): Promise<string | undefined> {
  if (needs === undefined) return undefined;
  return which(needs).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

async function inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const over = new AbortController();
  const late = sleep(ROW_MS_MAX, undefined, {
    signal: AbortSignal.any([signal, over.signal]),
  }).then(() => {
    throw new Error(`not done after ${inWords(ROW_MS_MAX)}`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}

/** What a failed row left undone is no reason for the next one to fail. */
async function mended(lab: KeycloakLab, say: DrillOptions["say"]): Promise<void> {
  try {
    const names = await lab.mend();
    if (names.length > 0) say(`started again: ${names.join(", ")}`);
  } catch (error) {
    say(`not all of it could be started again: ${(error as Error).message}`);
  }
}

/** The drills of Keycloak's: with sessions in Infinispan, and in the database. */
export const keycloakDrills: readonly Rehearsal[] = [
  new KeycloakDrill(
    "keycloak",
    "Two Keycloaks, each behind its site's front door, are one to whoever logs in: each request may come to either site, and a site may be lost",
    "infinispan",
  ),
  new KeycloakDrill(
    "keycloak-persistent-sessions",
    "The same with the users' sessions in the database that both Keycloaks share",
    "database",
  ),
];
