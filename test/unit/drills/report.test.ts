import { describe, expect, it } from "vitest";
import { skipped, worst } from "../../../deploy/drills/drill-report.ts";
import type { DrillReport } from "../../../deploy/drills/drill-report.ts";
import { Probes } from "../../../deploy/drills/probes.ts";
import { renderJUnit } from "../../../deploy/drills/report-files.ts";
import { renderPage } from "../../../deploy/drills/report-page.ts";

const WAY = "nyc to lon";

const report: DrillReport = {
  ...skipped("cut-link", "The link is cut", "", false),
  outcome: "failed",
  why: null,
  startedAt: 1_000,
  endedAt: 11_000,
  checks: [
    { name: "no acknowledged write is lost", passed: false, detail: '1 lost: <key> & "more"' },
    { name: "the sites are equal", passed: true, detail: "0 keys differ" },
  ],
  rpo: 1,
  rtoMs: 5_000,
  recoveryMs: 0,
  load: { acknowledged: 12_345, failed: 6 },
  lag: { [WAY]: { p50: 20, p99: 40, max: 5_000 } },
  faults: [
    { what: "cut both", from: 2_000, to: 7_000, rtoMs: { [WAY]: 5_000 }, recoveryMs: { [WAY]: 0 } },
  ],
  steps: [{ what: "cut both", from: 2_000, to: 2_010 }],
  told: [{ at: "lon", kind: "gap", what: "the log was <trimmed>", from: 3_000, to: 4_000 }],
  probes: { [WAY]: [[1_500, 20]] },
};

describe("a drill's report", () => {
  it("is JUnit XML: a suite a drill, a case a check, texts escaped", () => {
    const xml = renderJUnit([report]);
    expect(xml).toContain('<testsuite name="cut-link" tests="2" failures="1" skipped="0"');
    expect(xml).toContain('<failure message="1 lost: &lt;key&gt; &amp; &quot;more&quot;"/>');
    expect(xml).toContain("<system-out>0 keys differ</system-out>");
  });

  it("never passes off a drill that did not run as one that did", () => {
    const not = renderJUnit([skipped("bad-link", "Far", "no toxiproxy", false)]);
    expect(not).toContain('tests="1" failures="0" skipped="1"');
    expect(not).toContain('<skipped message="no toxiproxy"/>');
    const required = renderJUnit([skipped("bad-link", "Far", "no toxiproxy", true)]);
    expect(required).toContain('tests="1" failures="1" skipped="0"');
    expect(required).toContain('<failure message="no toxiproxy"/>');
  });

  it("tells of a check that this machine could not make, and how long the others took", () => {
    const checks = [
      { name: "a browser logs in", passed: true, isSkipped: true, detail: "no chromium" },
      { name: "a code is good once", passed: true, detail: "20 codes", ms: 1_234 },
    ];
    const told = [{ ...report, outcome: "passed" as const, checks }];
    const xml = renderJUnit(told);
    expect(xml).toContain('tests="2" failures="0" skipped="1"');
    expect(xml).toContain('name="a browser logs in"><skipped message="no chromium"/>');
    expect(xml).toContain('name="a code is good once" time="1.234"><system-out>20 codes');
    expect(renderPage(told)).toContain('<td class="skipped">skipped</td><td>a browser logs in');
  });

  it("is one page that loads nothing, with a timeline and every figure", () => {
    const page = renderPage([report]);
    expect(page).not.toMatch(/\b(?:src|href)="(?!#)/);
    expect(page).not.toContain("<key>");
    for (const text of ["<svg", "12345", "5.0 s", "the log was &lt;trimmed&gt;", "cut both"])
      expect(page).toContain(text);
    expect(page.match(/<path /g)).toHaveLength(1);
    expect(page.match(/<rect /g)).toHaveLength(2);
  });

  it("knows no worst time where writes never came through", () => {
    expect(worst([])).toBeNull();
    expect(worst([5, null])).toBeNull();
    expect(worst([5, 7])).toBe(7);
  });
});

describe("probes", () => {
  it("measure each write that shows, also one whose successor came before it was looked at", () => {
    const probes = new Probes();
    for (const [n, at] of [
      [1, 100],
      [2, 200],
      [3, 300],
      [4, 400],
    ] as const)
      probes.written(WAY, n, at);
    probes.seen(WAY, 1, 120);
    probes.seen(WAY, 3, 900);
    expect(probes.of(WAY)).toEqual([
      { writtenAt: 100, seenAt: 120 },
      { writtenAt: 200, seenAt: 900 },
      { writtenAt: 300, seenAt: 900 },
    ]);
    expect(probes.lag(WAY)).toEqual({ p50: 600, p99: 700, max: 700 });
    expect(probes.waitingMs(1_000)).toBe(600);
    expect(probes.during(WAY, 50, 250)).toEqual({ rtoMs: 700, recoveryMs: 650 });
    // None was made during it: what counts is when the first one since came through.
    expect(probes.during(WAY, 210, 220)).toEqual({ rtoMs: 690, recoveryMs: 680 });
    expect(probes.during(WAY, 90, 110)).toEqual({ rtoMs: 30, recoveryMs: 10 });
    expect(probes.during(WAY, 350, 360)).toBeUndefined();
  });
});
