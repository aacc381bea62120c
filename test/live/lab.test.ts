// Goal: `isthmus lab` gives a stack that replicates, tells its state truly, and leaves nothing behind and nothing else harmed.
// Method: the command line itself, in a temporary folder; Infinispan's own Java client writes at one site and reads at the other.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../deploy/cli/main.ts";
import { endProcess, isRunning, startDetached } from "../../deploy/lab/detached-process.ts";
import { LAB_MARK } from "../../deploy/lab/lab-file.ts";
import { processFacts } from "../../deploy/lab/process-table.ts";
import { JavaClient } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";

/** Two starts of six processes on a busy machine. */
const TWO_STARTS_MS_MAX = 400_000;

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "isthmus-lab-"));
});
afterEach(async () => {
  await isthmus("down");
  rmSync(cwd, { recursive: true, force: true });
});

async function isthmus(...argv: string[]) {
  const written = { out: "", err: "" };
  const code = await main(["lab", ...argv], {
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    cwd,
    version: "0",
  });
  return { code, ...written };
}

interface Reported {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly pid: number;
  readonly memoryBytes: number;
  readonly ports: Record<string, number>;
  readonly log: string;
}

async function reported(): Promise<{ code: number; ready: boolean; processes: Reported[] }> {
  const { code, out } = await isthmus("status", "--json");
  return { code, ...(JSON.parse(out) as { ready: boolean; processes: Reported[] }) };
}

const NAMES = ["nats-server", "Infinispan", "isthmus"].flatMap((kind) => [
  `${kind} nyc`,
  `${kind} lon`,
]);
const KEY = Buffer.from([1, 0, 255]);

/** What a site's cache `demo` holds. */
async function valueAt(java: JavaClient, site: string): Promise<Buffer | undefined> {
  const { processes } = await reported();
  const port = processes.find(({ name }) => name === `Infinispan ${site}`)?.ports["cache"];
  const connection = await java.connect(`127.0.0.1:${port}`);
  const value = await connection.cache("demo").get(KEY);
  await connection.close();
  return value;
}

describe("isthmus lab", () => {
  it(
    "starts a stack that replicates, shows it, keeps data when asked to, and ends all of it",
    { timeout: TWO_STARTS_MS_MAX },
    async () => {
      const up = await isthmus("up");
      expect(up.code, up.err).toBe(0);
      for (const name of NAMES) expect(up.out).toMatch(new RegExp(`^${name} +ready`, "m"));
      expect(readFileSync(join(cwd, "lab", "isthmus.yaml"), "utf8")).toContain(LAB_MARK);

      const first = await reported();
      expect(first).toMatchObject({ code: 0, ready: true });
      expect(first.processes.map(({ name }) => name).sort()).toEqual([...NAMES].sort());
      for (const { memoryBytes, log } of first.processes) {
        expect(memoryBytes).toBeGreaterThan(2 ** 20);
        expect(existsSync(log)).toBe(true);
      }

      const again = await isthmus("up");
      expect(again).toMatchObject({ code: 0 });
      expect(again.err).toContain("runs already");
      expect((await reported()).processes.map(({ pid }) => pid)).toEqual(
        first.processes.map(({ pid }) => pid),
      );

      await using java = await JavaClient.start();
      const nyc = first.processes.find(({ name }) => name === "Infinispan nyc");
      const connection = await java.connect(`127.0.0.1:${nyc?.ports["cache"]}`);
      await connection.cache("demo").put(KEY, Buffer.from("written at nyc"));
      await connection.close();
      const written = async () => (await valueAt(java, "lon"))?.toString() === "written at nyc";
      await until("lon has what was written at nyc", written);

      expect(await isthmus("down", "--keep-data")).toMatchObject({ code: 0 });
      for (const { name, pid } of first.processes)
        expect(await processFacts(pid), name).toBeUndefined();
      expect(await isthmus("status")).toMatchObject({ code: 1 });

      expect(await isthmus("up")).toMatchObject({ code: 0 });
      for (const site of ["nyc", "lon"])
        expect((await valueAt(java, site))?.toString()).toBe("written at nyc");

      const second = await reported();
      const victim = second.processes.find(({ name }) => name === "nats-server lon");
      process.kill(victim?.pid ?? 0, "SIGKILL");
      await until("the killed process is down", async () => {
        const { processes } = await reported();
        return processes.find(({ pid }) => pid === victim?.pid)?.state === "down";
      });
      const broken = await isthmus("status");
      expect(broken.code).toBe(1);
      expect(broken.out).toMatch(/^nats-server lon +down/m);
      expect(broken.out).toContain(victim?.log);
      const onTop = await isthmus("up");
      expect(onTop.code).toBe(1);
      expect(onTop.err).toMatch(/IS4004 .* runs without nats-server lon/);

      expect(await isthmus("down")).toMatchObject({ code: 0 });
      for (const { name, pid } of second.processes)
        expect(await processFacts(pid), name).toBeUndefined();
      expect(existsSync(join(cwd, "lab"))).toBe(false);
      expect(await isthmus("down")).toMatchObject({ code: 0 });
    },
  );

  it("stops what it started when a process fails, and names the log to read", async () => {
    const nyc = join(cwd, "lab", "nyc");
    mkdirSync(nyc, { recursive: true });
    writeFileSync(join(cwd, "lab", "isthmus.yaml"), LAB_MARK);
    // nats-server cannot make its store where a file is.
    writeFileSync(join(nyc, "jetstream"), "");
    const { code, err } = await isthmus("up");
    expect(code).toBe(1);
    expect(err).toContain("IS4001 nats-server nyc ended while it started");
    expect(err).toContain(`the log is ${join(nyc, "nats-server.log")}`);
    expect(err).toMatch(/stopped nats-server lon \(\d+\)/);
    const pid = Number(/stopped nats-server lon \((\d+)\)/.exec(err)?.[1]);
    expect(await processFacts(pid)).toBeUndefined();
    expect(await reported()).toMatchObject({ code: 1, processes: [] });
  });

  it("refuses ports that are in use, folders of others, and what it does not have", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const taken = await isthmus("up", "--ports", String(port));
    server.close();
    expect(taken.code).toBe(1);
    expect(taken.err).toContain(`IS4003 port ${port} of 127.0.0.1, for cache`);

    mkdirSync(join(cwd, "mine"));
    writeFileSync(join(cwd, "mine", "isthmus.yaml"), "name: mine\n");
    const foreign = await isthmus("up", "--folder", "mine");
    expect(foreign.code).toBe(1);
    expect(foreign.err).toContain("IS4005");
    expect(await isthmus("down", "--folder", "mine")).toMatchObject({ code: 0 });
    expect(readFileSync(join(cwd, "mine", "isthmus.yaml"), "utf8")).toBe("name: mine\n");
  });
});

describe("a detached process", () => {
  const ignoring = 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1e9)';
  const log = () => join(cwd, "log");

  it("is never taken for another one that has its pid", async () => {
    const child = spawn(process.execPath, ["-e", ignoring], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(child.stdout, "data");
    const pid = child.pid ?? 0;
    const startedAt = (await processFacts(pid))?.startedAt ?? "";
    const other = { pid, startedAt: `${startedAt}0` };
    expect(await isRunning({ pid, startedAt })).toBe(true);
    expect(await isRunning(other)).toBe(false);
    expect(await endProcess(other, 0)).toBe(false);
    expect(await isRunning({ pid, startedAt })).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await isRunning({ pid, startedAt })).toBe(false);
  });

  it("is killed when it does not obey SIGTERM in time", async () => {
    const child = await startDetached(process.execPath, ["-e", ignoring], log());
    await until("it ignores SIGTERM", async () => readFileSync(log(), "utf8").includes("up"));
    expect(await isRunning(child)).toBe(true);
    expect(await endProcess(child, 200)).toBe(true);
    expect(await isRunning(child)).toBe(false);
    expect(await endProcess(child, 200)).toBe(false);
  });
});
