import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { METRICS } from "../http/metric-definitions.ts";

/** The metrics page, made from the definitions that the endpoint uses. */
export function renderMetricsPage(): string {
  const rows = METRICS.map(
    ({ name, type, labels, help }) => `| ${name} | ${type} | ${labels.join(", ")} | ${help} |`,
  );
  return `# Metrics

Generated from \`deploy/http/metric-definitions.ts\` by \`npm run metrics-page\`; edit the help texts there.

\`GET /metrics\` of a site's process answers in Prometheus's text format. Counters count since the process started. A value
that is not known makes no sample: nothing is reported as 0 that was not measured. Beside the rows below there are the usual
figures of a Node process, such as \`isthmus_process_cpu_seconds_total\`, \`isthmus_process_resident_memory_bytes\` and
\`isthmus_nodejs_eventloop_lag_seconds\`.

| name | type | labels | meaning |
|---|---|---|---|
${rows.join("\n")}
`;
}

if (import.meta.filename === process.argv[1]) {
  writeFileSync(join(process.cwd(), "deploy/docs/metrics.md"), renderMetricsPage());
}
