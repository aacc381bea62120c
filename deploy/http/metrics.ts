import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { SiteStatus } from "../status/site-status.ts";
import { METRICS, type MetricDefinition, type Sample } from "./metric-definitions.ts";

/** The metrics of one process in Prometheus's text format, read from its status at each scrape. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #metrics: ReadonlyArray<readonly [MetricDefinition, Counter | Gauge]>;
  readonly #status: () => SiteStatus;

  constructor(status: () => SiteStatus) {
    this.#status = status;
    const registers = [this.#registry];
    this.#metrics = METRICS.filter(({ type }) => type !== "histogram").map((definition) => {
      const { name, help, type, labels } = definition;
      const options = { name, help, labelNames: [...labels], registers };
      return [definition, type === "counter" ? new Counter(options) : new Gauge(options)] as const;
    });
    collectDefaultMetrics({ register: this.#registry, prefix: "isthmus_" });
  }

  /** Of the answer's body. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The scrape's answer. */
  async text(): Promise<string> {
    const status = this.#status();
    for (const [definition, metric] of this.#metrics) {
      // The status holds totals: what was in the client library is replaced, and a cache that is gone disappears.
      metric.reset();
      // A metric without labels is reset to a sample of 0, which is not the same as no sample.
      if (definition.labels.length === 0) metric.remove();
      for (const { labels, value } of definition.samples(status)) metric.inc(labels, value);
    }
    const histograms = METRICS.filter(({ type }) => type === "histogram");
    const own = histograms.map((definition) => histogramText(definition, status));
    return [await this.#registry.metrics(), ...own].join("\n");
  }
}

/** The client library counts a histogram by itself or not at all; the status holds counted ones. */
function histogramText(definition: MetricDefinition, status: SiteStatus): string {
  const { name, help } = definition;
  const line = ({ labels, value, series = "count" }: Sample): string => {
    const pairs = Object.entries(labels).map(([label, of]) => `${label}="${escaped(of)}"`);
    return `${name}_${series}{${pairs.join(",")}} ${value}\n`;
  };
  return `# HELP ${name} ${help}\n# TYPE ${name} histogram\n${definition.samples(status).map(line).join("")}`;
}

const escaped = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
