import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConfig } from "../../topology/config/parse-config.ts";
import { ErrorCode, IsthmusError, assert } from "../../topology/errors.ts";
import { endProcess, isRunning } from "./detached-process.ts";
import type { ProcessIdentity } from "./detached-process.ts";
import { LAB_SITES, labFile, labPorts, labShape } from "./lab-file.ts";
import type { KeycloakSessions, LabShape, LabSiteName } from "./lab-file.ts";
import { LabFolder } from "./lab-state.ts";
import type { LabProcess, LabState } from "./lab-state.ts";
import { fatalLine, logOf, whyNotReady } from "./part-readiness.ts";
import { processFacts } from "./process-table.ts";
import { quickStart } from "./quick-start.ts";
import { STARTS, stagesOf } from "./stages.ts";
import type { LabPlan } from "./start-part.ts";
import { which } from "./which.ts";

/** Longest time from a process's start until it is ready: Infinispan takes 8 s on two idle cores. */
const READY_MS_MAX = 180_000;

/** How often a starting process is asked. */
const READY_POLL_MS = 100;

/** How long a process may take to end after SIGTERM: a site drains first. */
const END_MS_MAX = 30_000;

/** Lines of a log that an error shows. */
const LOG_TAIL_LINES = 20;

/** Tells people how far it has come. */
export type Say = (line: string) => void;

/** A process of a lab as it is now. */
export interface LabPartStatus extends LabProcess {
  readonly state: "ready" | "starting" | "down";
  /** Why it is not ready. */
  readonly reason: string | undefined;
  readonly residentBytes: number;
}

/** A lab as it is now. */
export interface LabStatus {
  readonly folder: string;
  readonly file: string;
  readonly phase: LabState["phase"];
  readonly parts: readonly LabPartStatus[];
}

/** A real two-site stack on this machine, whose processes live on when the program ends that started them. */
export class Lab {
  readonly folder: LabFolder;
  readonly #say: Say;
  #running: { readonly plan: LabPlan; readonly state: LabState } | undefined;

  /** `path` is the lab's folder; nothing is read or made yet. */
  constructor(path: string, say: Say) {
    this.folder = new LabFolder(resolve(path));
    this.#say = say;
  }

  /**
   * Starts the lab, unless it runs already, and resolves once each of its processes is ready; false when it ran. `base` is
   * the first of its ports; free ones without it. On any failure, the signal included, what was started is stopped again.
   *
   * @throws IsthmusError LabInTheWay, LabFolderInvalid, LabPortTaken, LabPartMissing, LabProcessFailed
   */
  async up(
    base: number | undefined,
    signal: AbortSignal,
    shape: LabShape = labShape(),
  ): Promise<boolean> {
    const { keycloak } = shape;
    if (await this.#runs(base, keycloak)) return false;
    this.folder.make();
    await this.#provision(keycloak);
    const ports = await labPorts(base, shape.sites ?? LAB_SITES);
    const dialled = (await shape.prepare?.(this.folder.path, ports)) ?? undefined;
    const source = labFile(ports, shape, dialled);
    writeFileSync(this.folder.file, source);
    const at = { file: this.folder.file, directory: this.folder.path };
    const { config, diagnostics } = parseConfig(source, at);
    assert(config, () => `the lab's file: ${diagnostics.map((d) => d.message).join("; ")}`);
    const by = await ourselves();
    const asked = { ...(base && { base }), ...(keycloak && { keycloak }) };
    const state: LabState = { phase: "starting", by, processes: [], ...asked };
    this.folder.keep(state);
    try {
      const { caches } = shape;
      // Keycloak is slow enough to start.
      const java = shape.java ?? (keycloak === undefined ? [] : await quickStart());
      const plan: LabPlan = { folder: this.folder, config, ports, caches, java, keycloak };
      await this.#startAll(plan, state, signal);
      state.phase = "running";
      this.folder.keep(state);
      this.#running = { plan, state };
      return true;
    } catch (error) {
      this.#say("stopping what was started");
      await this.#stopAll(state);
      throw error;
    }
  }

  /** A process of a lab that {@link up} of this object started. */
  part(kind: LabProcess["kind"], site: LabSiteName): LabProcess {
    const part = this.#running?.state.processes.find((p) => p.kind === kind && p.site === site);
    assert(part !== undefined, () => `no ${kind} ${site} was started`);
    return part;
  }

  /**
   * Starts a process again that ended, and resolves once it is ready: once `why` finds nothing against it. `environment` is for
   * a site's process.
   *
   * @throws IsthmusError LabProcessFailed, LabInTheWay when it still runs
   */
  async start(
    kind: LabProcess["kind"],
    site: LabSiteName,
    signal: AbortSignal,
    environment: Readonly<Record<string, string>> = {},
    why: typeof whyNotReady = whyNotReady,
  ): Promise<LabProcess> {
    const running = this.#running;
    assert(running !== undefined, "the lab was not started");
    const old = this.part(kind, site);
    if (await isRunning(old))
      throw new IsthmusError(ErrorCode.LabInTheWay, `${old.name} still runs: process ${old.pid}`);
    const { plan, state } = running;
    const part = await STARTS[kind](plan, site, environment);
    state.processes.splice(state.processes.indexOf(old), 1, part);
    this.folder.keep(state);
    await untilReady(part, signal, why);
    return part;
  }

  /** The lab as it is now; undefined when there is none. */
  async status(): Promise<LabStatus | undefined> {
    const state = this.folder.state();
    if (state === undefined) return undefined;
    const parts = await Promise.all(state.processes.map(statusOf));
    return { folder: this.folder.path, file: this.folder.file, phase: state.phase, parts };
  }

  /**
   * Stops exactly the processes that {@link up} started and removes what they wrote, or keeps it with `keepData`. Resolves with
   * the names of those that still ran. To be repeated without harm.
   *
   * @throws IsthmusError LabInTheWay while another program starts or stops the lab
   */
  async down(keepData: boolean): Promise<string[]> {
    const state = this.folder.state();
    const stopped = state === undefined ? [] : await this.#stop(state);
    if (!keepData && this.folder.isLab()) this.folder.remove();
    return stopped;
  }

  async #stop(state: LabState): Promise<string[]> {
    const by = await ourselves();
    if (state.phase !== "running" && state.by.pid !== by.pid && (await isRunning(state.by)))
      throw new IsthmusError(
        ErrorCode.LabInTheWay,
        `the lab in ${this.folder.path} is ${state.phase}: process ${state.by.pid} is at it`,
        { hint: `wait for it, or stop it: kill ${state.by.pid}` },
      );
    this.folder.keep({ ...state, phase: "stopping", by });
    return this.#stopAll(state);
  }

  /** Who writes first, then the sites, so that they drain into servers that still run. */
  async #stopAll({ processes }: LabState): Promise<string[]> {
    const isServer = (kind: LabProcess["kind"]) => kind !== "isthmus" && kind !== "keycloak";
    const groups = [
      processes.filter(({ kind }) => kind === "keycloak"),
      processes.filter(({ kind }) => kind === "isthmus"),
      processes.filter(({ kind }) => isServer(kind)),
    ];
    const stopped: string[] = [];
    for (const group of groups)
      await Promise.all(
        group.map(async (part) => {
          // PostgreSQL would wait for its clients to leave.
          const how = part.kind === "postgres" ? "SIGINT" : "SIGTERM";
          if (!(await endProcess(part, END_MS_MAX, how))) return;
          stopped.push(part.name);
          this.#say(`stopped ${part.name} (${part.pid})`);
        }),
      );
    this.folder.forget();
    return stopped;
  }

  async #runs(base: number | undefined, keycloak: KeycloakSessions | undefined): Promise<boolean> {
    const state = this.folder.state();
    if (state === undefined) return false;
    const alive: LabProcess[] = [];
    for (const part of state.processes) if (await isRunning(part)) alive.push(part);
    const isAtIt = state.phase !== "running" && (await isRunning(state.by));
    // After a restart of the machine only the file is left.
    if (alive.length === 0 && !isAtIt) return false;
    const inTheWay = (what: string) =>
      new IsthmusError(ErrorCode.LabInTheWay, `the lab in ${this.folder.path} ${what}`, {
        hint: "isthmus lab status shows it, isthmus lab down stops it",
      });
    if (isAtIt) throw inTheWay(`is ${state.phase}: process ${state.by.pid} is at it`);
    const dead = state.processes.filter((part) => !alive.includes(part)).map(({ name }) => name);
    if (state.phase !== "running") throw inTheWay(`was left half ${state.phase}`);
    if (dead.length > 0) throw inTheWay(`runs without ${dead.join(", ")}`);
    if (base !== undefined && base !== state.base)
      throw inTheWay(`runs already, not on ports from ${base}`);
    if (keycloak !== undefined && keycloak !== state.keycloak)
      throw inTheWay(`runs already, ${withKeycloak(state.keycloak)}`);
    return true;
  }

  async #provision(keycloak: KeycloakSessions | undefined): Promise<void> {
    const things = ["nats-server", "java", "infinispan"] as const;
    const build = keycloak === "database" ? "keycloak-persistent-sessions" : "keycloak";
    const more = keycloak === undefined ? [] : (["postgres", build] as const);
    const names = ["nats-server", "Java", "Infinispan", ...(keycloak ? ["PostgreSQL"] : [])];
    const last = keycloak === undefined ? names.pop() : "Keycloak";
    this.#say(`looking for ${names.join(", ")} and ${last}; a first run fetches what is missing`);
    for (const thing of [...things, ...more])
      try {
        await which(thing);
      } catch (cause) {
        throw new IsthmusError(ErrorCode.LabPartMissing, (cause as Error).message, { cause });
      }
  }

  async #startAll(plan: LabPlan, state: LabState, signal: AbortSignal): Promise<void> {
    for (const { what, kind, sites, why = whyNotReady } of stagesOf(plan)) {
      const begin = performance.now();
      this.#say(`starting ${what}`);
      const parts: LabProcess[] = [];
      for (const site of sites) {
        const part = await STARTS[kind](plan, site);
        parts.push(part);
        state.processes.push(part);
        this.folder.keep(state);
      }
      for (const part of parts) await untilReady(part, signal, why);
      this.#say(`  ready after ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    }
    // A site is ready only when its Keycloak has made its caches.
    for (const part of state.processes) await untilReady(part, signal);
  }
}

function withKeycloak(keycloak: KeycloakSessions | undefined): string {
  if (keycloak === undefined) return "without Keycloak";
  return `with Keycloak's sessions in ${keycloak === "database" ? "its database" : "Infinispan"}`;
}

async function ourselves(): Promise<ProcessIdentity> {
  return { pid: process.pid, startedAt: (await processFacts(process.pid))?.startedAt ?? "" };
}

async function statusOf(part: LabProcess): Promise<LabPartStatus> {
  const facts = (await isRunning(part)) ? await processFacts(part.pid) : undefined;
  if (facts === undefined) {
    const reason = `process ${part.pid} ended; its log: ${part.log}`;
    return { ...part, state: "down", reason, residentBytes: 0 };
  }
  const reason = await whyNotReady(part);
  const state = reason === undefined ? "ready" : "starting";
  return { ...part, state, reason, residentBytes: facts.residentBytes };
}

async function untilReady(
  part: LabProcess,
  signal: AbortSignal,
  why: typeof whyNotReady = whyNotReady,
): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  for (;;) {
    if (signal.aborted) throw failed(part, "was stopped while it started");
    if (!(await isRunning(part))) throw failed(part, "ended while it started");
    const fatal = fatalLine(part);
    if (fatal !== undefined) throw failed(part, `failed to start: ${fatal}`);
    const reason = await why(part);
    if (reason === undefined) return;
    if (performance.now() > deadline)
      throw failed(part, `is not ready after ${READY_MS_MAX / 1000} s: ${reason}`);
    await sleep(READY_POLL_MS);
  }
}

function failed(part: LabProcess, what: string): IsthmusError {
  const tail = logOf(part).trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n  ");
  const message = `${part.name} ${what}; its log ends:\n  ${tail}`;
  return new IsthmusError(ErrorCode.LabProcessFailed, message, { hint: `the log is ${part.log}` });
}
