// Goal: what `isthmus nats-config` prints is what a real nats-server runs, and carries mirrors both ways over its leaf links.
// Method: the configurations of three sites, judged by `nats-server -t` and then run; and two sites with TLS on every port.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../deploy/cli/main.ts";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import { ServerProcess, answers } from "../../deploy/lab/server-process.ts";
import { which } from "../../deploy/lab/which.ts";
import { NatsBus } from "../../gateway/link/bus.ts";
import { connectNats } from "../../gateway/link/connect.ts";
import type { NatsLink } from "../../gateway/link/connect.ts";
import { NatsLogMirror } from "../../gateway/link/log-mirror.ts";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { beatSubject, logSubject } from "../../topology/names.ts";
import { until } from "../support/linked-sites.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";

const execute = promisify(execFile);
/** JetStream reserves a log's bytes: the printed limit must have room for a site's own log and its mirrors. */
const LOG_LIMITS = { maxAgeMs: 3_600_000, maxBytes: 256 * 1024 * 1024, replicas: 1 };

const never = new AbortController().signal;

let folder: string;
let servers: ServerProcess[];
let links: NatsLink[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "isthmus-nats-config-"));
  servers = [];
  links = [];
});
afterEach(async () => {
  await Promise.all(links.map((link) => link.close()));
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(folder, { recursive: true, force: true });
});

interface TestSite {
  readonly name: string;
  readonly port: number;
  readonly leafPort: number;
}

/** Writes `isthmus.yaml` with these sites; `nats` is added to the nats block of each. */
async function writeFile(names: readonly string[], nats: (site: string) => string = () => "") {
  const ports = await freePorts(2 * names.length);
  const sites = names.map((name, i): TestSite => {
    return { name, port: ports[2 * i] ?? 0, leafPort: ports[2 * i + 1] ?? 0 };
  });
  const bodies = sites.map(
    ({ name, port, leafPort }) => `  ${name}:
    cache: { kind: embedded }
    nats:
      servers: ["nats://127.0.0.1:${port}"]
      leaf: { listen: "127.0.0.1:${leafPort}" }
      ${nats(name)}
    data: ./data/${name}
`,
  );
  const limits = `limits: { logMaxBytes: ${LOG_LIMITS.maxBytes}B }\n`;
  const file = `apiVersion: isthmus/v1\nsites:\n${bodies.join("")}${limits}`;
  writeFileSync(join(folder, "isthmus.yaml"), file);
  return sites;
}

/** What `isthmus nats-config` prints, in a file. */
async function printed(site: string, ...options: string[]): Promise<string> {
  let out = "";
  let err = "";
  const code = await main(["nats-config", "--site", site, ...options], {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    cwd: folder,
    version: "0",
  });
  expect(code, err).toBe(0);
  const file = join(folder, `${site}${options.join("")}.conf`);
  writeFileSync(file, out);
  return file;
}

async function start({ name, port }: TestSite): Promise<ServerProcess> {
  const config = await printed(name);
  const log = join(folder, `${name}.log`);
  const binary = await which("nats-server");
  const server = ServerProcess.spawn(`nats-server ${name}`, log, binary, ["-c", config]);
  servers.push(server);
  const greets = () =>
    answers(
      () => connect(port, "127.0.0.1"),
      (bytes) => bytes.includes("INFO "),
      1000,
    );
  await server.untilReady(greets, 20_000);
  return server;
}

async function linkTo({ name, port }: TestSite): Promise<NatsLink> {
  const settings = { site: name, domain: name, servers: [`nats://127.0.0.1:${port}`] };
  const tools = { clock: realClock, random: realRandom, logger: new MemoryLogger() };
  const link = await connectNats(settings, tools, 20_000, never);
  links.push(link);
  return link;
}

describe("the printed configuration", () => {
  it("is accepted by nats-server, in its own syntax and as JSON", async () => {
    const binary = await which("nats-server");
    for (const { name } of await writeFile(["nyc", "lon", "fra"])) {
      for (const options of [[], ["--json"]]) {
        const file = await printed(name, ...options);
        const { stderr, stdout } = await execute(binary, ["-t", "-c", file]);
        expect(stderr + stdout).toContain("configuration file");
        expect(stderr + stdout).toContain("is valid");
      }
    }
  });

  it("links three sites so that each one's log is mirrored at both others", async () => {
    const sites = await writeFile(["nyc", "lon", "fra"]);
    for (const site of sites) await start(site);
    const linked = await Promise.all(
      sites.map(async (site) => ({ ...site, link: await linkTo(site) })),
    );
    for (const { name, link } of linked) {
      const log = new NatsSiteLog(link, LOG_LIMITS);
      await log.recreate();
      await log.publish(logSubject(name, "sessions"), Buffer.from(name), "1", never);
    }
    for (const origin of linked)
      for (const target of linked) {
        if (origin === target) continue;
        const from = { site: origin.name, domain: origin.name };
        const mirror = new NatsLogMirror(target.link, from, LOG_LIMITS);
        await until(`${target.name} can mirror ${origin.name}`, async () => {
          await mirror.recreate(0);
          return true;
        });
        await until(
          `${target.name} holds what ${origin.name} wrote`,
          async () => (await mirror.state())?.lastSeq === 1,
        );
      }
  });

  it("brings each site's heartbeat to each other site exactly once, though the links form a ring", async () => {
    const sites = await writeFile(["nyc", "lon", "fra"]);
    for (const site of sites) await start(site);
    const linked = await Promise.all(
      sites.map(async (site) => ({ name: site.name, bus: new NatsBus(await linkTo(site)) })),
    );
    const counts = new Map<string, number>();
    for (const { name: here, bus } of linked)
      for (const { name: from } of linked)
        if (from !== here)
          bus.subscribe(beatSubject(from), (payload) => {
            const beat = `${Buffer.from(payload).toString()} at ${here}`;
            counts.set(beat, (counts.get(beat) ?? 0) + 1);
          });
    let round = 0;
    await until("a beat of each site came to both others", () => {
      round++;
      for (const { name, bus } of linked)
        bus.publish(beatSubject(name), Buffer.from(`${name} ${round}`));
      const last = [...counts.keys()].map((beat) => beat.replace(/ \d+ /, " "));
      return Promise.resolve(new Set(last).size === 6);
    });
    // A beat that goes round comes back at once: by the time ten more have come, it would have been seen many times over.
    const until10 = round + 10;
    await until("ten more", () => {
      round++;
      for (const { name, bus } of linked)
        bus.publish(beatSubject(name), Buffer.from(`${name} ${round}`));
      return Promise.resolve(round > until10 && counts.has(`fra ${until10} at nyc`));
    });
    expect(Math.max(...counts.values())).toBe(1);
  });

  it("links sites over TLS, each with its own certificate", async () => {
    await makeCertificates(["nyc", "lon"]);
    const tls = (name: string): string =>
      `tls: { caFile: ca.pem, certFile: ${name}.pem, keyFile: ${name}.key }`;
    const [nyc, lon] = await writeFile(["nyc", "lon"], tls);
    if (nyc === undefined || lon === undefined) throw new Error("two sites were written");
    await start(nyc);
    const leaf = await start(lon);
    // The names of both domains are logged only once the link's handshake, TLS included, is over.
    const joined = 'JetStream using domains: local "lon", remote "nyc"';
    await until("the leaf is linked", () => Promise.resolve(leaf.log().includes(joined)));
  });
});

/** A certificate authority and, by it, a certificate for 127.0.0.1 for each name. */
async function makeCertificates(names: readonly string[]): Promise<void> {
  const openssl = async (...args: string[]): Promise<void> => {
    await execute("openssl", args, { cwd: folder });
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const authority = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test"];
  await openssl("req", ...key, ...authority, "-days", "1");
  writeFileSync(join(folder, "san"), "subjectAltName=IP:127.0.0.1\n");
  for (const name of names) {
    const request = ["-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`];
    await openssl("req", ...key, ...request);
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"];
    const files = ["-in", `${name}.csr`, "-out", `${name}.pem`, "-extfile", "san"];
    await openssl("x509", "-req", ...files, ...signed);
  }
}
