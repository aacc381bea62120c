import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderMetricsPage } from "../../../deploy/docs/generate-metrics.ts";
import { HttpServer } from "../../../deploy/http/http-server.ts";
import { METRICS } from "../../../deploy/http/metric-definitions.ts";
import { Metrics } from "../../../deploy/http/metrics.ts";
import { HOLD_BOUNDS_MS } from "../../../deploy/site/cache-hold.ts";
import { CacheStats } from "../../../site-agent/cache-stats.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { realClock } from "../../support/real-time.ts";
import { silentLogger } from "../../support/manual-clock.ts";
import { soundCache, soundStatus } from "../status/example-status.ts";

const ROOT = join(import.meta.dirname, "../../..");

describe("metrics", () => {
  it("are the page's; if not, run `npm run metrics-page`", () => {
    const page = readFileSync(join(ROOT, "deploy/docs/metrics.md"), "utf8");
    expect(page).toBe(renderMetricsPage());
  });

  it("have the names that Prometheus asks for: prefix, base units, _total on counters only", () => {
    for (const { name, type, help } of METRICS) {
      expect(name).toMatch(/^isthmus_[a-z_]+$/);
      expect(name).not.toMatch(/_ms$|_milliseconds/);
      expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"]);
      expect([name, help.endsWith(".")]).toEqual([name, true]);
    }
    expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
  });

  it("have one for every counter of a cache", async () => {
    const stats = new CacheStats();
    const names = Object.keys(stats) as Array<keyof CacheStats>;
    for (const [i, name] of names.entries()) stats[name] = 1_000 + i;
    const metrics = new Metrics(() => soundStatus({ caches: [soundCache({ counters: stats })] }));
    const text = await metrics.text();
    for (const name of names) {
      const lines = text.split("\n").filter((line) => line.endsWith(`} ${stats[name]}`));
      expect([name, lines.length]).toEqual([name, 1]);
      expect(lines[0]).toMatch(/^isthmus_\w+_total\{cache="carts"\}/);
    }
  });

  it("follow the status: a new total replaces the old one, and a cache that is gone disappears", async () => {
    const stats = new CacheStats();
    let status = soundStatus({ caches: [soundCache({ counters: stats })] });
    const metrics = new Metrics(() => status);
    stats.events = 5;
    await metrics.text();
    stats.events = 7;
    expect(await metrics.text()).toContain('isthmus_listener_events_total{cache="carts"} 7\n');
    status = soundStatus({ caches: [] });
    expect(await metrics.text()).not.toContain('cache="carts"');
  });

  it("tell how long writers were held as a histogram: each bucket holds the shorter ones too", async () => {
    const holdMsCounts = [...HOLD_BOUNDS_MS, Infinity].map((bound) => {
      if (bound === 60) return 7;
      return bound === 75 || bound === Infinity ? 1 : 0;
    });
    const counts = { confirmed: 9, degraded: 0, failed: 0, unheld: 0, waiting: 0 };
    const times = { holdMsSum: 6_500, holdMsMax: 6_000, holdMsCounts };
    const hold = { ...counts, ...times, degradedTargets: [] };
    const status = soundStatus({ caches: [soundCache({ hold })] });
    const text = await new Metrics(() => status).text();
    const lines = text.split("\n").filter((line) => line.includes("isthmus_hold_seconds"));
    expect(lines).toContain("# TYPE isthmus_hold_seconds histogram");
    for (const [le, value] of Object.entries({ 0.05: 0, 0.06: 7, 0.075: 8, 5: 8, "+Inf": 9 }))
      expect(lines).toContain(`isthmus_hold_seconds_bucket{cache="carts",le="${le}"} ${value}`);
    expect(lines).toContain('isthmus_hold_seconds_sum{cache="carts"} 6.5');
    expect(lines).toContain('isthmus_hold_seconds_count{cache="carts"} 9');
    const unheld = await new Metrics(() => soundStatus({ caches: [soundCache()] })).text();
    expect(unheld).not.toContain("isthmus_hold_seconds_bucket");
  });

  it("leave out what is not known", async () => {
    const status = soundStatus({ term: null, leaseMsLeft: null, log: null });
    const text = await new Metrics(() => status).text();
    expect(text).toContain("# TYPE isthmus_term gauge");
    expect(text).not.toMatch(/^isthmus_(term|lease_seconds_left|log_last_sequence) /m);
  });

  it("are in seconds", async () => {
    const text = await new Metrics(() => soundStatus()).text();
    expect(text).toContain('isthmus_lag_seconds{cache="carts",origin="lon"} 0.007\n');
    expect(text).toContain('isthmus_clock_offset_seconds{peer="lon"} -0.0015\n');
    expect(text).toContain("isthmus_lease_seconds_left 12\n");
  });
});

describe("the HTTP endpoints", () => {
  const serving = async (
    status: () => ReturnType<typeof soundStatus>,
    test: (url: string, port: number) => Promise<void>,
  ): Promise<void> => {
    const listen = { host: "127.0.0.1", port: 0 };
    const server = new HttpServer({ listen, status, clock: realClock, logger: silentLogger });
    const port = await server.start();
    try {
      await test(`http://127.0.0.1:${port}`, port);
    } finally {
      await server.close();
    }
  };

  it("answer by the status: live always, ready and the balancer with reasons", async () => {
    let status = soundStatus();
    await serving(
      () => status,
      async (url) => {
        for (const path of ["/health/ready", "/lb-check"])
          expect((await fetch(url + path)).status).toBe(200);
        status = soundStatus({ state: "standby" });
        expect((await fetch(`${url}/health/live`)).status).toBe(200);
        for (const path of ["/health/ready", "/lb-check"]) {
          const answer = await fetch(url + path);
          expect(answer.status).toBe(503);
          expect(answer.headers.get("cache-control")).toBe("no-store");
          expect(await answer.json()).toEqual({
            status: "DOWN",
            reasons: ["the process is standby"],
          });
        }
        expect(await (await fetch(`${url}/api/v1/status`)).json()).toEqual(status);
      },
    );
  });

  it("answer 404 in JSON elsewhere, and to any other method", async () => {
    await serving(soundStatus, async (url) => {
      for (const [method, path] of [
        ["GET", "/"],
        ["POST", "/api/v1/status"],
        ["DELETE", "/metrics"],
      ] as const) {
        const answer = await fetch(url + path, { method });
        expect(answer.status).toBe(404);
        expect(await answer.json()).toEqual({ error: `nothing is at ${method} ${path}` });
      }
    });
  });

  it("say which address they cannot listen on", async () => {
    await serving(soundStatus, async (_url, port) => {
      const listen = { host: "127.0.0.1", port };
      const parts = { listen, status: soundStatus, clock: realClock, logger: silentLogger };
      await expect(new HttpServer(parts).start()).rejects.toMatchObject({
        code: ErrorCode.HttpListen,
        message: expect.stringContaining(`127.0.0.1:${port}`),
      });
    });
  });

  it("tell a fault of theirs as 500, without its stack", async () => {
    const broken = (): never => {
      throw new Error("isthmus bug: no status");
    };
    await serving(broken, async (url) => {
      const answer = await fetch(`${url}/api/v1/status`);
      expect(answer.status).toBe(500);
      expect(await answer.json()).toEqual({ error: "isthmus bug: no status" });
    });
  });
});
