import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Check, DrillReport } from "./drill-report.ts";
import { escaped } from "./markup.ts";
import { renderPage } from "./report-page.ts";

/** Writes `drills.json`, `drills.xml` (JUnit) and `drills.html` into a folder, which is made. */
export function writeReports(folder: string, reports: readonly DrillReport[]): void {
  mkdirSync(folder, { recursive: true });
  const json = `${JSON.stringify({ drills: reports }, null, 1)}\n`;
  writeFileSync(join(folder, "drills.json"), json);
  writeFileSync(join(folder, "drills.xml"), renderJUnit(reports));
  writeFileSync(join(folder, "drills.html"), renderPage(reports));
}

/** The reports as JUnit XML: a suite a drill, a case a check. */
export function renderJUnit(reports: readonly DrillReport[]): string {
  const suites = reports.map((report) => {
    const failures = report.checks.filter((check) => !check.passed).length;
    const isUnchecked = report.checks.length === 0;
    const left = report.checks.filter(({ isSkipped }) => isSkipped === true).length;
    const cases = report.checks.map((check) => testCase(report, check));
    // A drill that could not run at all still shows, as skipped or failed.
    const isSkipped = report.outcome === "skipped";
    if (isUnchecked)
      cases.push(
        testCase(report, { name: "runs", passed: isSkipped, isSkipped, detail: report.why ?? "" }),
      );
    const counts = {
      name: report.name,
      tests: cases.length,
      failures: isUnchecked && report.outcome === "failed" ? 1 : failures,
      skipped: isSkipped ? 1 : left,
      time: ((report.endedAt - report.startedAt) / 1000).toFixed(3),
      timestamp: new Date(report.startedAt).toISOString(),
    };
    const attributes = Object.entries(counts)
      .map(([name, value]) => ` ${name}="${escaped(String(value))}"`)
      .join("");
    return `  <testsuite${attributes}>\n${cases.join("")}  </testsuite>\n`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join("")}</testsuites>\n`;
}

function testCase({ name: drill }: DrillReport, check: Check): string {
  const { name, passed, isSkipped, detail, ms } = check;
  const time = ms === undefined ? "" : ` time="${(ms / 1000).toFixed(3)}"`;
  const open = `    <testcase classname="${escaped(drill)}" name="${escaped(name)}"${time}>`;
  if (isSkipped === true) return `${open}<skipped message="${escaped(detail)}"/></testcase>\n`;
  if (passed) return `${open}<system-out>${escaped(detail)}</system-out></testcase>\n`;
  return `${open}<failure message="${escaped(detail)}"/></testcase>\n`;
}
