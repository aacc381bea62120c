import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { endProcess, isRunning } from "../lab/detached-process.ts";
import type { LabShape, LabSiteName } from "../lab/lab-file.ts";
import type { LabProcess } from "../lab/lab-state.ts";
import { Lab } from "../lab/lab.ts";
import type { Say } from "../lab/lab.ts";
import { quickStart } from "../lab/quick-start.ts";
import type { CacheAddress } from "./checker.ts";
import { TARGETS } from "./drill.ts";
import type { DoorShape, FOLDERS, Need, Target, Whose } from "./drill.ts";
import { runIsthmus } from "./run-isthmus.ts";
import { startCache } from "./start-cache.ts";
import { Toxiproxy } from "./toxiproxy.ts";

/** The cache that a drill writes, and one that nothing replicates, for the checker's proof. */
export const DRILL_CACHE = "drill";
/** See {@link DRILL_CACHE}. */
export const PROOF_CACHE = "drill-proof";

/** Room of JetStream at a site whose disk is to be filled, in MiB. */
const DISK_MIB = 192;
/** A process that obeys SIGTERM has ended by then, in ms. */
const STOP_MS_MAX = 30_000;
/** A second process of a site has found out by then that it is one, in ms. */
const SECOND_MS_MAX = 60_000;

const KIND: Readonly<Record<Target, LabProcess["kind"]>> = {
  site: "isthmus",
  nats: "nats-server",
  infinispan: "infinispan",
};

/** Times, ms since the epoch, between which a signal was sent. */
export interface Moment {
  readonly from: number;
  readonly to: number;
}

/** What a drill's lab is to have. */
export interface DrillLabShape {
  readonly sites: readonly LabSiteName[];
  readonly needs: readonly Need[];
  readonly frontDoor: DoorShape | undefined;
}

const modeOf = (door: DoorShape | undefined): string =>
  door === undefined
    ? "mode: async"
    : `mode: sync, timeout: ${door.timeoutMs}ms, onTimeout: ${door.onTimeout}`;

/** The stack of a drill: a lab of its own, with a proxy in the link where the drill wants one, and hands to harm it. */
export class DrillLab {
  readonly sites: readonly LabSiteName[];
  readonly #lab: Lab;
  readonly #mounts: string[] = [];
  #proxy: Toxiproxy | undefined;
  readonly #paused = new Set<number>();
  /** Pids that the drill itself ended. */
  readonly #ended = new Set<number>();
  readonly #signal: AbortSignal;

  private constructor(lab: Lab, sites: readonly LabSiteName[], signal: AbortSignal) {
    this.#lab = lab;
    this.sites = sites;
    this.#signal = signal;
  }

  /** Starts it in a folder that does not exist yet; what was started is stopped when that fails. */
  static async start(
    folder: string,
    { sites, needs, frontDoor }: DrillLabShape,
    say: Say,
    signal: AbortSignal,
  ): Promise<DrillLab> {
    const lab = new DrillLab(new Lab(folder, say), sites, signal);
    const shape: LabShape = {
      preset: "none",
      rules: [`{ match: ${DRILL_CACHE}, ${modeOf(frontDoor)} }`],
      frontDoors: frontDoor !== undefined,
      // In memory, as where Keycloak keeps its sessions there: an Infinispan that is killed comes back empty.
      caches: { [DRILL_CACHE]: {}, [PROOF_CACHE]: {} },
      sites,
      java: await quickStart(),
      prepare: async (path, ports) => {
        if (needs.includes("root"))
          for (const site of sites) lab.#mount(join(path, site, "jetstream"));
        if (!needs.includes("toxiproxy")) return undefined;
        const [leaf = 0] = Array.from(ports.values(), (of) => of.leaf);
        lab.#proxy = await Toxiproxy.before(leaf, join(path, "toxiproxy.log"));
        return lab.#proxy.port;
      },
    };
    try {
      await lab.#lab.up(undefined, signal, shape);
    } catch (error) {
      await lab.end(true);
      throw error;
    }
    return lab;
  }

  /** The front doors of these sites. */
  doors(sites: readonly LabSiteName[]): CacheAddress[] {
    return sites.map(
      (site) => `${site}@127.0.0.1:${this.#lab.part("isthmus", site).ports["door"]}`,
    );
  }

  /** The sites' Infinispans. */
  caches(): CacheAddress[] {
    return this.sites.map(
      (site) => `${site}@127.0.0.1:${this.#lab.part("infinispan", site).ports["cache"]}`,
    );
  }

  /** Where the sites tell their status. */
  statusUrls(): ReadonlyMap<LabSiteName, string> {
    const url = (site: LabSiteName) =>
      `http://127.0.0.1:${this.#lab.part("isthmus", site).ports["http"]}/api/v1/status`;
    return new Map(this.sites.map((site) => [site, url(site)]));
  }

  /** SIGKILL; resolves once the process is gone. */
  async kill(whose: Whose): Promise<Moment> {
    const part = this.#part(whose);
    this.#ended.add(part.pid);
    const from = Date.now();
    process.kill(part.pid, "SIGKILL");
    const to = Date.now();
    while (await isRunning(part)) await sleep(5);
    return { from, to };
  }

  /** SIGKILL to all processes of a site; resolves once they are gone. */
  async killSite(at: LabSiteName): Promise<Moment> {
    const parts = TARGETS.map((process) => this.#part({ process, at }));
    for (const { pid } of parts) this.#ended.add(pid);
    const from = Date.now();
    for (const { pid } of parts) process.kill(pid, "SIGKILL");
    const to = Date.now();
    for (const part of parts) while (await isRunning(part)) await sleep(5);
    return { from, to };
  }

  /** Starts all that a site has, and resolves once it is ready, with how often its Infinispan hung. */
  async startSite(at: LabSiteName): Promise<number> {
    const [hung] = await Promise.all([this.startEmpty(at), this.start({ process: "nats", at })]);
    await this.start({ process: "site", at });
    return hung;
  }

  /** SIGTERM; resolves once the process is gone. */
  async stop(whose: Whose): Promise<void> {
    const part = this.#part(whose);
    this.#ended.add(part.pid);
    await endProcess(part, STOP_MS_MAX);
  }

  /** Starts what was killed or stopped, and resolves once it is ready. */
  async start(whose: Whose, environment: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#lab.start(KIND[whose.process], whose.at, this.#signal, environment);
  }

  /** Starts an Infinispan that was killed or stopped, empty: see {@link startCache}. */
  startEmpty(at: LabSiteName): Promise<number> {
    return startCache(this.#lab, at, true, this.#signal);
  }

  /**
   * Starts each site's process that ended by itself, as its supervisor would, and resolves with the last words of those. What
   * a drill killed or stopped is left to the drill.
   */
  async supervise(): Promise<string[]> {
    const words: string[] = [];
    for (const at of this.sites) {
      const part = this.#part({ process: "site", at });
      if (this.#ended.has(part.pid) || (await isRunning(part))) continue;
      words.push(`${part.name} ended by itself: ${lastLine(part.log)}`);
      this.#ended.add(part.pid);
      await this.start({ process: "site", at });
    }
    return words;
  }

  /** SIGSTOP for so long. */
  async pause(whose: Whose, ms: number): Promise<void> {
    const { pid } = this.#part(whose);
    this.#paused.add(pid);
    process.kill(pid, "SIGSTOP");
    try {
      await sleep(ms, undefined, { signal: this.#signal });
    } finally {
      process.kill(pid, "SIGCONT");
      this.#paused.delete(pid);
    }
  }

  /** The proxy in the link. @throws Error when the drill's needs did not name it */
  link(): Toxiproxy {
    if (this.#proxy === undefined) throw new Error("the drill has no proxy in its link");
    return this.#proxy;
  }

  /** Stops a site's process and starts it with a clock that is wrong by so much. */
  async skewClock(at: LabSiteName, byMs: number): Promise<void> {
    const library = faketimeLibrary();
    if (library === undefined) throw new Error("no libfaketime");
    await this.stop({ process: "site", at });
    await this.start(
      { process: "site", at },
      {
        LD_PRELOAD: library,
        FAKETIME: `${byMs < 0 ? "" : "+"}${byMs / 1000}s`,
        // Only the wall clock is wrong; timers and leases go by the other one.
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
        DONT_FAKE_MONOTONIC: "1",
      },
    );
  }

  /** Leaves no byte free where a site's JetStream keeps its streams. */
  fillDisk(at: LabSiteName): void {
    const file = openSync(this.#ballast(at), "w");
    const block = Buffer.alloc(2 ** 20, 1);
    try {
      for (let size = block.length; size >= 1;) {
        try {
          writeSync(file, block, 0, size);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
          size = Math.floor(size / 2);
        }
      }
    } finally {
      closeSync(file);
    }
  }

  /** The link is whole, and disks have room. */
  async heal(): Promise<void> {
    await this.#proxy?.heal();
    for (const site of this.sites) rmSync(this.#ballast(site), { force: true });
  }

  /** Removes a folder of a site whose process was killed or stopped. @throws IsthmusError DrillStepFailed */
  async removeFolder(folder: (typeof FOLDERS)[number], at: LabSiteName): Promise<void> {
    const part = this.#part({ process: folder === "ledger" ? "site" : "nats", at });
    if (await isRunning(part))
      throw new IsthmusError(
        ErrorCode.DrillStepFailed,
        `${part.name} runs: its folder is not removed`,
        { hint: "kill or stop it in a step before" },
      );
    rmSync(join(this.#site(at), folder), { recursive: true, force: true });
  }

  /** Starts a second process of a site, which must end by itself and say why. @throws IsthmusError DrillStepFailed */
  async startSecond(at: LabSiteName): Promise<string> {
    const run = await runIsthmus("run", this.file, ["--site", at], SECOND_MS_MAX);
    const { code } = run;
    const said = run.stdout + run.stderr;
    const why = said.split("\n").find((line) => /IS2020|IS3011/.test(line));
    if (code === 1 && why !== undefined) return why.trim();
    throw new IsthmusError(
      ErrorCode.DrillStepFailed,
      `a second process of ${at} was expected to end with 1 and IS2020 or IS3011; it ended with ${code}: ${said.slice(-500)}`,
    );
  }

  /** The lab's `isthmus.yaml`. */
  get file(): string {
    return this.#lab.folder.file;
  }

  /** Stops everything; `keep` leaves the folder, logs and data, for whoever wants to look. */
  async end(keep: boolean): Promise<void> {
    for (const pid of this.#paused) process.kill(pid, "SIGCONT");
    await this.#proxy?.[Symbol.asyncDispose]();
    await this.#lab.down(true);
    for (const mount of this.#mounts.splice(0)) execFileSync("umount", ["-l", mount]);
    if (keep) return;
    await this.#lab.down(false);
    rmSync(this.#lab.folder.path, { recursive: true, force: true });
  }

  #part({ process: target, at }: Whose): LabProcess {
    return this.#lab.part(KIND[target], at);
  }

  #site(at: LabSiteName): string {
    return join(this.#lab.folder.path, at);
  }

  #ballast(at: LabSiteName): string {
    return join(this.#site(at), "jetstream", "ballast");
  }

  #mount(path: string): void {
    mkdirSync(path, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", path]);
    this.#mounts.push(path);
  }
}

function lastLine(log: string): string {
  return readFileSync(log, "utf8").trimEnd().split("\n").at(-1) ?? "";
}

/** Debian's libfaketime, or undefined. */
export function faketimeLibrary(): string | undefined {
  const roots = ["/usr/lib", "/usr/local/lib"].filter((root) => existsSync(root));
  const folders = roots.flatMap((root) => [root, ...readdirSync(root).map((f) => join(root, f))]);
  return folders
    .map((folder) => join(folder, "faketime", "libfaketimeMT.so.1"))
    .find((path) => existsSync(path));
}
