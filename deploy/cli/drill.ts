import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { faketimeLibrary } from "../drills/drill-lab.ts";
import { inWords, skipped } from "../drills/drill-report.ts";
import type { Check, DrillReport } from "../drills/drill-report.ts";
import type { Need } from "../drills/drill.ts";
import { rehearsals, rehearsalsNamed } from "../drills/rehearsals.ts";
import type { Rehearsal } from "../drills/rehearsals.ts";
import { writeReports } from "../drills/report-files.ts";
import { which } from "../lab/which.ts";
import { textTable } from "../status/text-table.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus drill list|run`: rehearsals on a real two-site stack of their own. */
export const drill: Verb = {
  name: "drill",
  summary:
    "rehearsals on a real two-site stack of their own: faults under load, then what was lost",
  args: "list | run NAME|GROUP|FILE",
  json: 'list: {"drills": [{name, summary, groups, needs}]}; run: {"drills": [{name, outcome, why, checks, rtoMs, recoveryMs, rpo, load, verdict, lag, faults, steps, told, probes}]}',
  options: {
    report: {
      value: "DIR",
      summary: "run: write drills.json, drills.xml (JUnit) and drills.html there",
    },
  },
  async run(context: VerbContext): Promise<Exit> {
    const [action, name, ...more] = context.args;
    if (action === "list" && name === undefined) return list(context);
    if (action === "run" && name !== undefined && more.length === 0) return run(name, context);
    throw new IsthmusError(
      ErrorCode.UsageInvalid,
      `expected list, or run and one name, got ${context.args.join(" ") || "nothing"}`,
    );
  },
};

function list({ json, stdout }: VerbContext): Exit {
  const drills = rehearsals().map((each) => ({
    name: each.name,
    summary: each.summary,
    groups: each.alone ? each.groups : ["all", ...each.groups],
    needs: each.needs,
  }));
  if (json) stdout.write(`${JSON.stringify({ drills }, null, 2)}\n`);
  else {
    const rows = drills.map((each) => [
      each.name,
      each.groups.join(" ") || "-",
      each.needs.join(" ") || "-",
      each.summary,
    ]);
    stdout.write(textTable([["DRILL", "GROUPS", "NEEDS", "WHAT IT SHOWS"], ...rows]));
  }
  return Exit.Fine;
}

async function run(name: string, context: VerbContext): Promise<Exit> {
  const drills = rehearsalsNamed(name, context.cwd);
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  const reports: DrillReport[] = [];
  try {
    for (const each of drills) {
      if (stopping.signal.aborted) break;
      const report = await one(each, name === "smoke", context, stopping.signal);
      reports.push(report);
      if (!context.json) context.stdout.write(told(report));
      // Written after each: a run that is stopped leaves what it had.
      const { report: folder } = context.options;
      if (typeof folder === "string") writeReports(resolve(context.cwd, folder), reports);
    }
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
  if (context.json) context.stdout.write(`${JSON.stringify({ drills: reports })}\n`);
  else context.stdout.write(`${total(reports)}\n`);
  const isFine = reports.length === drills.length && reports.every((r) => r.outcome !== "failed");
  return isFine ? Exit.Fine : Exit.No;
}

async function one(
  each: Rehearsal,
  smoke: boolean,
  { stderr }: VerbContext,
  signal: AbortSignal,
): Promise<DrillReport> {
  for (const need of each.needs) {
    const missing = await whyMissing(need);
    if (missing === undefined) continue;
    const required = (process.env["ISTHMUS_REQUIRE"] ?? "").split(",");
    stderr.write(`SKIPPED ${each.name}: ${missing}\n`);
    return skipped(each.name, each.summary, missing, required.includes(need));
  }
  const folder = mkdtempSync(join(tmpdir(), "isthmus-drill-"));
  rmSync(folder, { recursive: true });
  const say = (line: string) => stderr.write(`${each.name}: ${line}\n`);
  return each.run({ folder, smoke, say, signal });
}

async function whyMissing(need: Need): Promise<string | undefined> {
  switch (need) {
    case "root":
      return process.getuid?.() === 0 ? undefined : "it mounts a small disk, which takes root";
    case "faketime":
      return faketimeLibrary() === undefined
        ? "it needs libfaketime: install Debian's faketime"
        : undefined;
    case "toxiproxy":
      return whyNoneOf("toxiproxy");
    case "keycloak":
      return (await whyNoneOf("postgres")) ?? whyNoneOf("keycloak");
  }
}

function whyNoneOf(thing: Parameters<typeof which>[0]): Promise<string | undefined> {
  return which(thing).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

/** One drill for people: each check, then what was measured. */
function told(report: DrillReport): string {
  const { name, outcome, why, checks, load, rpo, rtoMs, recoveryMs, lag, faults, verdict } = report;
  const took = inWords(report.endedAt - report.startedAt);
  const lines = [`${name}: ${outcome} in ${took}${why === null ? "" : `: ${why}`}`];
  for (const check of checks) lines.push(`  ${mark(check)}  ${check.name}: ${check.detail}`);
  if (load.acknowledged + load.failed > 0) {
    lines.push(`  ${load.acknowledged} writes acknowledged, ${load.failed} answered by an error`);
    const rto =
      faults.length === 0 ? "" : `; RTO ${inWords(rtoMs)}, recovery ${inWords(recoveryMs)}`;
    const { excused = 0, excusedMs = 0 } = verdict ?? {};
    const age = excused === 0 ? "" : `, acknowledged up to ${inWords(excusedMs)} before a kill`;
    lines.push(`  RPO ${rpo ?? "unknown"} writes${age}${rto}`);
    for (const [way, { p50, p99, max }] of Object.entries(lag))
      lines.push(`  lag ${way}: p50 ${inWords(p50)}, p99 ${inWords(p99)}, max ${inWords(max)}`);
  }
  return `${lines.join("\n")}\n`;
}

function mark({ passed, isSkipped }: Check): string {
  if (isSkipped === true) return "-     ";
  return passed ? "ok    " : "FAILED";
}

function total(reports: readonly DrillReport[]): string {
  const count = (outcome: DrillReport["outcome"]) =>
    reports.filter((report) => report.outcome === outcome).length;
  const skips = count("skipped");
  const all = `${count("passed")} passed, ${count("failed")} failed`;
  return skips === 0 ? all : `${all}, ${skips} skipped`;
}
