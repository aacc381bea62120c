// Goal: an operator sees what a site does, and a process that cannot work says why and ends as documented.
// Method: two sites on embedded caches and real nats-servers, each `isthmus run` as a process of its own from the build.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CuttableProxy } from "../../deploy/lab/cuttable-proxy.ts";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import { HotRodWriter } from "../../deploy/lab/hot-rod-writer.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import type { CacheStatus, SiteStatus } from "../../deploy/status/site-status.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { silentLogger } from "../support/manual-clock.ts";
import { isthmus, IsthmusChild } from "../support/isthmus-command.ts";
import { until } from "../support/linked-sites.ts";
import { shared } from "../support/server-provider.ts";

const SITES = ["nyc", "lon"] as const;
type Name = (typeof SITES)[number];
type Ports = Record<Name, { readonly http: number; readonly cache: number }>;

interface FileOptions {
  readonly nats: Record<Name, string>;
  readonly ports: Ports;
  /** Prefix of the data directories. */
  readonly data?: string;
  readonly nycCache?: string;
}

function fileOf({ nats, ports, data = "data", nycCache }: FileOptions): string {
  const sites = SITES.map((site) => {
    const cache =
      site === "nyc" && nycCache !== undefined
        ? nycCache
        : `{ kind: embedded, listen: "127.0.0.1:${ports[site].cache}" }`;
    return `
  ${site}:
    cache: ${cache}
    nats: { servers: ["${nats[site]}"] }
    http: { listen: "127.0.0.1:${ports[site].http}" }
    data: ./${data}/${site}`;
  });
  return `apiVersion: isthmus/v1
name: status
sites:${sites.join("")}
policies:
  - { match: carts, mode: async }
  - { match: sessions, mode: sync }
  - { match: other, mode: "off" }
`;
}

async function makePorts(): Promise<Ports> {
  const [a, b, c, d] = (await freePorts(4)) as [number, number, number, number];
  return { nyc: { http: a, cache: b }, lon: { http: c, cache: d } };
}

/** nyc's NATS as given, lon's nowhere. */
async function natsUrls(nyc: string): Promise<Record<Name, string>> {
  const [nowhere] = (await freePorts(1)) as [number];
  return { nyc: `nats://${nyc}`, lon: `nats://127.0.0.1:${nowhere}` };
}

/** The lines of a metric. */
const samples = (text: string, name: string): string[] =>
  text.split("\n").filter((line) => line.startsWith(name));

/** Two sites at work. */
class Running implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "isthmus-status-"));
  readonly link: CuttableProxy;
  readonly servers: Record<Name, NatsServer>;
  readonly ports: Ports;
  readonly children: Record<Name, IsthmusChild>;

  private constructor(link: CuttableProxy, servers: Record<Name, NatsServer>, ports: Ports) {
    this.link = link;
    this.servers = servers;
    this.ports = ports;
    this.write("isthmus.yaml", {});
    this.children = { nyc: this.run("nyc"), lon: this.run("lon") };
  }

  static async start(): Promise<Running> {
    const nyc = await NatsServer.start({ domain: "nyc" });
    const link = await CuttableProxy.start(nyc.leafPort);
    const lon = await NatsServer.start({ domain: "lon", leafRemotes: [link.url] });
    const running = new Running(link, { nyc, lon }, await makePorts());
    try {
      await Promise.all(SITES.map((site) => running.untilReady(site)));
    } catch (error) {
      await running[Symbol.asyncDispose]();
      throw error;
    }
    return running;
  }

  get urls(): Record<Name, string> {
    return { nyc: this.servers.nyc.url, lon: this.servers.lon.url };
  }

  async untilReady(site: Name): Promise<void> {
    await this.children[site].until(
      "ready",
      async () => (await this.get(site, "/health/ready")).ok,
    );
  }

  write(name: string, options: Partial<FileOptions>): void {
    const whole = { nats: this.urls, ports: this.ports, ...options };
    writeFileSync(join(this.folder, name), fileOf(whole));
  }

  run(site: Name, file = "isthmus.yaml"): IsthmusChild {
    const args = ["run", "-f", file, "--site", site];
    return new IsthmusChild(args, this.folder, { WRONG_PASSWORD: "wrong" });
  }

  get(site: Name, path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.ports[site].http}${path}`);
  }

  async status(site: Name): Promise<SiteStatus> {
    return (await (await this.get(site, "/api/v1/status")).json()) as SiteStatus;
  }

  async cache(site: Name, name: string): Promise<CacheStatus> {
    const found = (await this.status(site)).caches.find(({ cache }) => cache === name);
    if (found === undefined) throw new Error(`${site} shows no ${name}`);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const site of SITES) await this.children[site][Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
    await this.servers.lon[Symbol.asyncDispose]();
    await this.servers.nyc[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe("what an operator sees", () => {
  const sites = shared(() => Running.start());
  const writers: HotRodWriter[] = [];
  afterAll(() => {
    for (const writer of writers) writer.close();
  });
  const write = async (site: Name, keys: number): Promise<void> => {
    const writer = new HotRodWriter(sites().ports[site].cache, "carts", silentLogger);
    writers.push(writer);
    for (let i = 0; i < keys; i++) await writer.put(`${site}-${i}`, "x".repeat(100));
  };

  it("answers health, the balancer and unknown paths", async () => {
    for (const path of ["/health/live", "/health/ready", "/lb-check"]) {
      const answer = await sites().get("nyc", path);
      expect([path, answer.status, (await answer.json()) as object]).toEqual([
        path,
        200,
        expect.objectContaining({ status: "UP" }),
      ]);
    }
    const unknown = await sites().get("nyc", "/nothing");
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toEqual({ error: "nothing is at GET /nothing" });
  });

  it("shows a replicated write, both ways, with its lag", async () => {
    await write("nyc", 50);
    const applied = await until("lon applied nyc's writes", async () => {
      const { origins } = await sites().cache("lon", "carts");
      const [origin] = origins;
      return origin?.mutations === 50 && origin.lagMs !== null ? origin : undefined;
    });
    expect(applied).toMatchObject({ origin: "nyc", state: "receiving", gap: null, refused: 0 });
    expect(applied.lagMs?.last).toBeGreaterThanOrEqual(0);
    const target = await until("lon confirmed them", async () => {
      const { targets } = await sites().cache("nyc", "carts");
      return targets[0]?.state === "up to date" ? targets[0] : undefined;
    });
    expect(target).toMatchObject({
      target: "lon",
      atRisk: { mutations: 0, bytes: 0, ageMs: 0, isAtLeast: false },
    });
    expect(target.confirmedSeq).toBeGreaterThan(0);
    const { counters } = await sites().cache("nyc", "carts");
    expect(counters).toMatchObject({ capturedPuts: 50, publishedMutations: 50 });
  });

  it("serves the same figures as metrics", async () => {
    const answer = await sites().get("nyc", "/metrics");
    expect(answer.headers.get("content-type")).toContain("text/plain");
    const text = await answer.text();
    for (const line of [
      `isthmus_info{site="nyc",version="0.1.0"} 1`,
      "isthmus_active 1",
      `isthmus_captured_puts_total{cache="carts"} 50`,
      `isthmus_at_risk_mutations{cache="carts",target="lon"} 0`,
      `isthmus_receiving{cache="carts",origin="lon"} 1`,
      `isthmus_cache_state{cache="sessions",state="unheld"} 1`,
    ])
      expect(samples(text, /^\w+/.exec(line)?.[0] ?? "")).toContain(line);
    expect(text).toContain("isthmus_process_cpu_seconds_total");
    expect(samples(text, "isthmus").filter((line) => line.includes('cache="other"'))).toEqual([]);
    // A scrape replaces what the one before it counted.
    const again = await (await sites().get("nyc", "/metrics")).text();
    const name = "isthmus_captured_puts_total";
    expect(samples(again, name)).toEqual(samples(text, name));
  });

  it("prints the status of all sites through any one's NATS, and ends 0 when all is well", async () => {
    await until("no problems", async () => {
      const all = await Promise.all(SITES.map((site) => sites().status(site)));
      return all.every(({ problems }) => problems.length === 0);
    });
    const asText = await isthmus(["status"], sites().folder);
    expect(asText).toMatchObject({ code: 0, err: "" });
    expect(asText.out).toMatch(/^nyc {2}ACTIVE {2}/m);
    expect(asText.out).toMatch(/carts +async +live +0 +lon +up to date +0 +receiving/);
    expect(asText.out).toMatch(/sessions +sync +unheld/);
    expect(asText.out).toContain("not replicated: other (off)");
    const asJson = await isthmus(["status", "--json", "--site", "lon"], sites().folder);
    const { sites: found } = JSON.parse(asJson.out) as { sites: SiteStatus[] };
    expect(found.map(({ site, state, problems }) => ({ site, state, problems }))).toEqual(
      SITES.map((site) => ({ site, state: "active", problems: [] })),
    );
  });

  it("repeats itself under --watch until it is interrupted", async () => {
    await using child = new IsthmusChild(["status", "--watch", "--json"], sites().folder);
    await until("a second look", async () => child.out.split("\n").length > 2);
    child.signal("SIGINT");
    expect(await child.ended()).toBe(0);
    for (const line of child.out.trim().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ sites: [{ site: "nyc" }, { site: "lon" }] });
  });

  it("refuses a second process and names the first, on the same data and on other data", async () => {
    const started = new Date((await sites().status("nyc")).startedAt).toISOString().slice(0, 16);
    const same = await isthmus(["run", "--site", "nyc"], sites().folder);
    expect(same.code).toBe(1);
    expect(same.err).toContain(ErrorCode.LedgerHeld);
    sites().write("second.yaml", { data: "second", ports: await makePorts() });
    const other = await isthmus(["run", "-f", "second.yaml", "--site", "nyc"], sites().folder);
    expect(other.code).toBe(1);
    expect(other.err).toContain(ErrorCode.LeaseHeld);
    for (const { err } of [same, other]) {
      expect(err).toContain(hostname());
      expect(err).toMatch(new RegExp(`\\b${sites().children.nyc.pid}\\b`));
      expect(err).toContain(started.slice(0, 13));
    }
  });

  it("shows data at risk and the silent site while the link is cut, and recovers", async () => {
    sites().link.cut();
    await write("nyc", 20);
    const target = await until("nyc sees the risk", async () => {
      const { targets } = await sites().cache("nyc", "carts");
      return targets[0]?.state === "silent" && targets[0].atRisk.mutations > 0
        ? targets[0]
        : undefined;
    });
    expect(target.atRisk.mutations).toBe(20);
    expect(target.atRisk.bytes).toBeGreaterThan(20 * 100);
    expect(target.why).toMatch(/^no heartbeat for \d+ s$/);
    const { code, out } = await isthmus(["status", "--site", "nyc"], sites().folder);
    expect(code).toBe(1);
    expect(out).toMatch(/carts +async +live +0 +lon +silent +20 \(/);
    expect(out).toMatch(/^lon {2}UNREACHABLE: IS3009 no answer/m);
    expect(out).toMatch(/! no heartbeat of lon for \d+ s \(IS3009\)/);
    // A balancer does not care about the other site.
    for (const path of ["/health/ready", "/lb-check"])
      expect((await sites().get("nyc", path)).status).toBe(200);
    sites().link.heal();
    await until("nothing is at risk", async () => {
      const { targets } = await sites().cache("nyc", "carts");
      return targets[0]?.state === "up to date" && targets[0].atRisk.mutations === 0;
    });
  });

  it("writes one JSON line an event, with a word for the level and a time", () => {
    const { err, lines } = sites().children.nyc;
    const text = err.split("\n").filter((line) => line !== "");
    expect(lines.length).toBe(text.length);
    for (const line of lines)
      expect(line).toMatchObject({
        site: "nyc",
        level: expect.stringMatching(/^(info|warn|error)$/),
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        msg: expect.any(String),
      });
    expect(lines.some(({ msg }) => msg === "active")).toBe(true);
  });

  it("says what an earlier run left unconfirmed, after a restart beside a cut link", async () => {
    sites().link.cut();
    await write("nyc", 5);
    await until("all is in the log", async () => {
      const { targets, outbox, dirty } = await sites().cache("nyc", "carts");
      return targets[0]?.atRisk.mutations === 5 && outbox.rows === 0 && dirty === 0;
    });
    sites().children.nyc.signal("SIGTERM");
    expect(await sites().children.nyc.ended()).toBe(0);
    expect(sites().children.nyc.lines.at(-1)).toMatchObject({
      msg: "drained: nothing is left to publish",
    });
    sites().children.nyc = sites().run("nyc");
    const target = await until("nyc is back", async () => {
      const answer = await sites().get("nyc", "/health/ready");
      return answer.ok ? (await sites().cache("nyc", "carts")).targets[0] : undefined;
    });
    expect(target).toMatchObject({ atRisk: { isAtLeast: true } });
    sites().link.heal();
    await until("lon has it all", async () => {
      const { targets } = await sites().cache("nyc", "carts");
      return targets[0]?.state === "up to date" && !targets[0].atRisk.isAtLeast;
    });
  });
});

describe("a site that cannot work", () => {
  const folder = mkdtempSync(join(tmpdir(), "isthmus-status-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, options: FileOptions): void =>
    writeFileSync(join(folder, name), fileOf(options));

  it("lives and says why while its NATS is away, and ends 0 when told to; status ends 3", async () => {
    const ports = await makePorts();
    const [nowhere] = (await freePorts(1)) as [number];
    write("away.yaml", { nats: await natsUrls(`127.0.0.1:${nowhere}`), ports });
    await using child = new IsthmusChild(["run", "-f", "away.yaml", "--site", "nyc"], folder);
    const get = (path: string) => fetch(`http://127.0.0.1:${ports.nyc.http}${path}`);
    await child.until("alive", async () => (await get("/health/live")).ok);
    const ready = await get("/health/ready");
    expect([ready.status, (await ready.json()) as object]).toEqual([
      503,
      {
        status: "DOWN",
        reasons: [
          "the process is starting",
          "the site's NATS is not connected",
          "no cache is taken up yet",
        ],
      },
    ]);
    expect((await get("/lb-check")).status).toBe(503);
    expect(await (await get("/metrics")).text()).not.toMatch(/^isthmus_term /m);
    const said = await until("it says so", async () =>
      child.lines.find(({ code }) => code === ErrorCode.NatsUnreachable),
    );
    expect(said.msg).toContain(String(nowhere));
    const { code, err } = await isthmus(["status", "-f", "away.yaml"], folder);
    expect(code).toBe(3);
    expect(err).toContain("nyc: IS3001");
    expect(err).toContain("lon: IS3001");
    child.signal("SIGTERM");
    expect(await child.ended()).toBe(0);
  });

  it("ends 3 when NATS refuses its credentials, and shows no password", async () => {
    const config = 'authorization { user: "isthmus", password: "right" }';
    await using server = await NatsServer.start({ domain: "nyc", config });
    const nats = await natsUrls(`isthmus:hunter2@127.0.0.1:${server.port}`);
    write("login.yaml", { nats, ports: await makePorts() });
    const { code, err } = await isthmus(["run", "-f", "login.yaml", "--site", "nyc"], folder);
    expect(code).toBe(3);
    expect(err).toContain(`${ErrorCode.NatsAuthFailed} sites.nyc.nats`);
    expect(err).not.toContain("hunter2");
  });

  it("ends 2 with a bad file, and 1 when its HTTP port is taken", async () => {
    writeFileSync(join(folder, "bad.yaml"), "apiVersion: isthmus/v1\nsites: 7\n");
    const bad = await isthmus(["run", "-f", "bad.yaml", "--site", "nyc"], folder);
    expect([bad.code, bad.out]).toEqual([2, ""]);
    await using taken = await CuttableProxy.start(1);
    const ports = await makePorts();
    const http = Number(new URL(taken.url).port);
    const nats = await natsUrls("127.0.0.1:1");
    write("taken.yaml", { nats, ports: { ...ports, nyc: { ...ports.nyc, http } } });
    const { code, err } = await isthmus(["run", "-f", "taken.yaml", "--site", "nyc"], folder);
    expect([code, err]).toEqual([1, expect.stringContaining(ErrorCode.HttpListen)]);
    expect(err).toContain(`127.0.0.1:${http}`);
  });

  it("goes on, blocked and with the reason, while the cache refuses the password", async () => {
    await using nats = await NatsServer.start({ domain: "nyc" });
    await using lonNats = await NatsServer.start({ domain: "lon", leafRemotes: [nats.leafUrl] });
    const ports = await makePorts();
    // lon's embedded cache takes no logins at all, which is as good as a wrong password.
    const auth = "{ mechanism: SCRAM-SHA-256, username: isthmus, passwordEnv: WRONG_PASSWORD }";
    await using way = await CuttableProxy.start(ports.lon.cache);
    const address = new URL(way.url).host;
    const nycCache = `{ kind: infinispan, servers: ["${address}"], auth: ${auth} }`;
    write("cache.yaml", { nats: { nyc: nats.url, lon: lonNats.url }, ports, nycCache });
    await using lon = new IsthmusChild(["run", "-f", "cache.yaml", "--site", "lon"], folder);
    const args = ["run", "-f", "cache.yaml", "--site", "nyc"];
    await using nyc = new IsthmusChild(args, folder, { WRONG_PASSWORD: "hunter2" });
    const get = (path: string) => fetch(`http://127.0.0.1:${ports.nyc.http}${path}`);
    const blocked = await nyc.until("carts blocked", async () => {
      const { caches } = (await (await get("/api/v1/status")).json()) as SiteStatus;
      const carts = caches.find(({ cache }) => cache === "carts");
      // Until lon's process listens the cache is out of reach, and blocked for that.
      return carts?.code === ErrorCode.CacheAuthFailed ? carts : undefined;
    });
    expect(blocked.state).toBe("blocked");
    expect(blocked.why).toContain('"isthmus"');
    expect((await get("/health/live")).status).toBe(200);
    expect((await get("/health/ready")).status).toBe(503);
    const balancer = await get("/lb-check");
    expect(balancer.status).toBe(503);
    expect(await balancer.text()).toContain("the local cache cannot be used");
    const told = nyc.lines.filter(({ code }) => code === ErrorCode.CacheAuthFailed);
    expect(told.length).toBeLessThanOrEqual(3);
    expect(told[0]).toMatchObject({ err: { code: ErrorCode.CacheAuthFailed } });
    expect(told[0]?.["err"]).toHaveProperty("hint");
    expect(told[0]?.["err"]).not.toHaveProperty("stack");
    expect(nyc.err).not.toContain("hunter2");
    for (const child of [nyc, lon]) child.signal("SIGTERM");
    expect(await nyc.ended()).toBe(0);
    expect(await lon.ended()).toBe(0);
  });
});
