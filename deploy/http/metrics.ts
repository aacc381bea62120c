import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { SiteStatus } from "../status/site-status.ts";
import { METRICS, type MetricDefinition } from "./metric-definitions.ts";

/** The metrics of one process in Prometheus's text format, read from its status at each scrape. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #metrics: ReadonlyArray<readonly [MetricDefinition, Counter | Gauge]>;
  readonly #status: () => SiteStatus;

  constructor(status: () => SiteStatus) {
    this.#status = status;
    const registers = [this.#registry];
    this.#metrics = METRICS.map((definition) => {
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
    return this.#registry.metrics();
  }
}
