import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ErrorCode, IsthmusError, assert } from "../../topology/errors.ts";
import type { ProcessIdentity } from "./detached-process.ts";
import { LAB_MARK, SITE_NAMES } from "./lab-file.ts";
import type { KeycloakSessions, LabSiteName } from "./lab-file.ts";
import { databaseFolder } from "./database-folder.ts";

/** One process of a lab. */
export interface LabProcess extends ProcessIdentity {
  /** For people, such as `nats-server nyc`. */
  readonly name: string;
  readonly site: LabSiteName;
  readonly kind: "nats-server" | "postgres" | "infinispan" | "isthmus" | "keycloak";
  /** Ports of 127.0.0.1 by what they are for. */
  readonly ports: Readonly<Record<string, number>>;
  readonly log: string;
  /** Bytes that the log held before this start. */
  readonly logFrom: number;
}

/** All that is known of a lab; in its folder's `lab.json` from before its first process starts until its last one ended. */
export interface LabState {
  phase: "starting" | "running" | "stopping";
  /** The process that starts or stops the lab. */
  readonly by: ProcessIdentity;
  /** `--ports`, if it was given. */
  readonly base?: number;
  /** Where its Keycloaks keep their users' sessions, if it has any. */
  readonly keycloak?: KeycloakSessions;
  readonly processes: LabProcess[];
}

/** The paths of a lab, all below its folder. */
export class LabFolder {
  readonly path: string;
  readonly file: string;
  readonly #state: string;

  constructor(path: string) {
    this.path = path;
    this.file = join(path, "isthmus.yaml");
    this.#state = join(path, "lab.json");
  }

  /** Whether the folder holds what a lab wrote. */
  isLab(): boolean {
    return existsSync(this.file) && readFileSync(this.file, "utf8").startsWith(LAB_MARK);
  }

  /** Makes the folder. @throws IsthmusError LabFolderInvalid for a folder that holds other things than a lab. */
  make(): void {
    mkdirSync(this.path, { recursive: true });
    if (!this.isLab() && readdirSync(this.path).length > 0)
      throw new IsthmusError(
        ErrorCode.LabFolderInvalid,
        `${this.path} is neither empty nor the folder of a lab: nothing was written`,
        { hint: "--folder names another folder; it is made if it does not exist" },
      );
  }

  /** @throws IsthmusError LabFolderInvalid when `lab.json` cannot be understood. */
  state(): LabState | undefined {
    if (!existsSync(this.#state)) return undefined;
    try {
      const state = JSON.parse(readFileSync(this.#state, "utf8")) as LabState;
      // What is stopped and shown goes by these alone.
      assert([state.by, ...state.processes].every(isIdentity), "a process without pid and start");
      return state;
    } catch (cause) {
      throw new IsthmusError(ErrorCode.LabFolderInvalid, `${this.#state} cannot be understood`, {
        hint: "stop the lab's processes by hand, then delete the file",
        cause,
      });
    }
  }

  /** Keeps the state; a crash leaves the old one or the new one, whole. */
  keep(state: LabState): void {
    const scratch = `${this.#state}.new`;
    writeFileSync(scratch, `${JSON.stringify(state, null, 2)}\n`);
    renameSync(scratch, this.#state);
  }

  /** No process is left to be known of. */
  forget(): void {
    rmSync(this.#state, { force: true });
  }

  /** Removes what the lab wrote, and the folder if nothing else is in it. */
  remove(): void {
    const sites = SITE_NAMES.map((site) => join(this.path, site));
    for (const path of [...sites, databaseFolder(this.path), this.file, this.#state])
      rmSync(path, { recursive: true, force: true });
    if (existsSync(this.path) && readdirSync(this.path).length === 0)
      rmSync(this.path, { recursive: true });
  }
}

const isIdentity = ({ pid, startedAt }: ProcessIdentity): boolean =>
  Number.isInteger(pid) && typeof startedAt === "string";
