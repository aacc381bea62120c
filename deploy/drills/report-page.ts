import { inWords } from "./drill-report.ts";
import type { DrillReport } from "./drill-report.ts";
import { escaped } from "./markup.ts";

/** The timeline's size in its own units. */
const WIDTH = 960;
const LAG_HEIGHT = 160;
const ROW_HEIGHT = 16;
/** Points of a way that the timeline shows at most; of those beyond, the slowest of each stretch. */
const POINTS_MAX = 1_200;

const COLOURS = ["#0b6e99", "#b45309"];

/** The reports as one page that needs no other file. */
export function renderPage(reports: readonly DrillReport[]): string {
  const rows = reports.map(
    (report) =>
      `<tr><td><a href="#${report.name}">${report.name}</a></td><td class="${report.outcome}">${report.outcome}</td>` +
      `<td>${inWords(report.endedAt - report.startedAt)}</td><td>${report.load.acknowledged}</td>` +
      `<td>${report.rpo ?? ""}</td><td>${report.faults.length === 0 ? "" : inWords(report.rtoMs)}</td>` +
      `<td>${report.faults.length === 0 ? "" : inWords(report.recoveryMs)}</td></tr>\n`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Isthmus drills</title><style>${STYLE}</style></head><body>
<h1>Drills</h1>
<table><tr><th>drill</th><th>outcome</th><th>took</th><th>acknowledged writes</th><th>RPO, writes</th><th>RTO</th><th>recovery</th></tr>
${rows.join("")}</table>
<p>RPO: keys whose acknowledged writes are gone. RTO: the longest that a write made during a fault waited for showing at the other site. Recovery: from a fault's end until all of those showed.</p>
${reports.map(section).join("")}</body></html>
`;
}

function section(report: DrillReport): string {
  const checks = report.checks.map(({ name, passed, isSkipped, detail }) => {
    const outcome = isSkipped === true ? "skipped" : passed ? "passed" : "failed";
    return `<tr><td class="${outcome}">${outcome}</td><td>${escaped(name)}</td><td>${escaped(detail)}</td></tr>\n`;
  });
  const faults = report.faults.map((fault) => {
    const ways = Object.entries(fault.rtoMs).map(
      ([way, ms]) =>
        `${escaped(way)}: ${inWords(ms)}; all through ${inWords(fault.recoveryMs[way] ?? null)} after its end`,
    );
    return `<tr><td>${after(fault.from, report)}</td><td>${escaped(fault.what)}</td><td>${inWords(fault.to - fault.from)}</td><td>${ways.join("; ")}</td></tr>\n`;
  });
  const told = report.told.map(
    ({ at, kind, what, from, to }) =>
      `<tr><td>${after(from, report)} to ${after(to, report)}</td><td>${at}</td><td>${kind}</td><td>${escaped(what)}</td></tr>\n`,
  );
  const lag = Object.entries(report.lag).map(
    ([way, { p50, p99, max }]) =>
      `<tr><td>${escaped(way)}</td><td>${inWords(p50)}</td><td>${inWords(p99)}</td><td>${inWords(max)}</td></tr>\n`,
  );
  return `<h2 id="${report.name}">${report.name}: <span class="${report.outcome}">${report.outcome}</span></h2>
<p>${escaped(report.summary)}${report.why === null ? "" : ` <strong>${escaped(report.why)}</strong>`}</p>
${timeline(report)}${table("", checks)}${table("<tr><th>lag</th><th>p50</th><th>p99</th><th>max</th></tr>", lag)}
${table("<tr><th>at</th><th>fault</th><th>lasted</th><th>how long writes waited</th></tr>", faults)}
${table("<tr><th>from, to</th><th>site</th><th colspan=2>told by its status</th></tr>", told)}
`;
}

const table = (head: string, rows: readonly string[]): string =>
  rows.length === 0 ? "" : `<table>${head}${rows.join("")}</table>\n`;

const after = (at: number, { startedAt }: DrillReport): string => inWords(at - startedAt);

/** Lag over time, on a scale of powers of ten, faults and steps below it. */
function timeline(report: DrillReport): string {
  const { startedAt, endedAt, steps, faults, probes } = report;
  if (steps.length === 0) return "";
  const x = (at: number): number => ((at - startedAt) / (endedAt - startedAt)) * WIDTH;
  // From 1 ms at the bottom to 1,000 s at the top.
  const y = (ms: number): number => LAG_HEIGHT - (Math.log10(Math.max(1, ms)) / 6) * LAG_HEIGHT;
  const grid = [1, 10, 100, 1_000, 10_000, 100_000].map(
    (ms) =>
      `<line x1="0" x2="${WIDTH}" y1="${y(ms)}" y2="${y(ms)}" stroke="#ddd"/><text x="2" y="${y(ms) - 2}">${inWords(ms)}</text>`,
  );
  const dots = Object.entries(probes).map(([way, points], i) => {
    const shown = thinned(points).map(
      ([at, ms]) => `M${x(at + ms).toFixed(1)} ${y(ms).toFixed(1)}h.1`,
    );
    return `<path d="${shown.join("")}" stroke="${COLOURS[i] ?? "#555"}" stroke-width="2.5" stroke-linecap="round" fill="none"><title>${escaped(way)}</title></path>`;
  });
  const bars = faults.map(
    ({ what, from, to }) =>
      `<rect x="${x(from).toFixed(1)}" y="0" width="${Math.max(1, x(to) - x(from)).toFixed(1)}" height="${LAG_HEIGHT}" fill="#c0262622"><title>${escaped(what)}: ${inWords(to - from)}</title></rect>`,
  );
  const marks = steps.map(
    ({ what, from, to }) =>
      `<rect x="${x(from).toFixed(1)}" y="${LAG_HEIGHT + 4}" width="${Math.max(1, x(to) - x(from)).toFixed(1)}" height="${ROW_HEIGHT}" fill="#8888" stroke="#fff"><title>${escaped(what)}: ${inWords(to - from)}</title></rect>`,
  );
  const legend = Object.keys(probes).map(
    (way, i) =>
      `<text x="${WIDTH - 220}" y="${12 + 12 * i}" fill="${COLOURS[i] ?? "#555"}">lag, ${escaped(way)}</text>`,
  );
  const height = LAG_HEIGHT + ROW_HEIGHT + 8;
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Lag over time, with faults">${bars.join("")}${grid.join("")}${dots.join("")}${marks.join("")}${legend.join("")}</svg>\n`;
}

function thinned(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const each = Math.ceil(points.length / POINTS_MAX);
  const kept: (readonly [number, number])[] = [];
  for (let i = 0; i < points.length; i += each) {
    const stretch = points.slice(i, i + each);
    kept.push(stretch.reduce((slowest, point) => (point[1] > slowest[1] ? point : slowest)));
  }
  return kept;
}

const STYLE = `body{font:14px/1.4 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;width:100%}td,th{border-bottom:1px solid #ddd;padding:3px 8px;text-align:left;vertical-align:top}
svg{width:100%;background:#fafafa;font-size:9px}.passed{color:#15803d}.failed{color:#c02626;font-weight:bold}.skipped{color:#b45309}`;
