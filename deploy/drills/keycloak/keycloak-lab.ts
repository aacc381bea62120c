import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { endProcess, isRunning } from "../../lab/detached-process.ts";
import { LAB_SITES, labShape } from "../../lab/lab-file.ts";
import type { KeycloakSessions, LabSiteName } from "../../lab/lab-file.ts";
import type { LabProcess } from "../../lab/lab-state.ts";
import { Lab } from "../../lab/lab.ts";
import type { Say } from "../../lab/lab.ts";
import { whyDoorShut, whyNotReady } from "../../lab/part-readiness.ts";
import type { SiteStatus } from "../../status/site-status.ts";
import { runIsthmus } from "../run-isthmus.ts";
import { startCache } from "../start-cache.ts";
import { whyNotLevel } from "../status-watch.ts";
import { eventually } from "./eventually.ts";
import type { KeycloakSite } from "./keycloak-site.ts";
import { labKeycloaks } from "./lab-sites.ts";

/** A process that obeys SIGTERM has ended by then, ms. */
const STOP_MS_MAX = 30_000;
/** An operator's verb has answered by then, ms. */
const VERB_MS_MAX = 60_000;
/** What was started again is in use by then, ms. */
const BACK_MS_MAX = 90_000;

/** What a site has of its own, in the order of a start; PostgreSQL is no site's. */
const SITE_PARTS = ["nats-server", "infinispan", "isthmus", "keycloak"] as const;

/** See {@link SITE_PARTS}. */
type SitePart = (typeof SITE_PARTS)[number];

/** Caches that Keycloak makes wherever it keeps sessions, `work` aside. */
const CACHES = ["actionTokens", "authenticationSessions", "loginFailures"];
/** Caches that it makes for sessions that are not in its database. */
const SESSION_CACHES = ["sessions", "clientSessions", "offlineSessions", "offlineClientSessions"];

/** From one site to the other. */
type Way = readonly [here: KeycloakSite, there: KeycloakSite];

/** A lab with a Keycloak at each site, and the hands that the rows of its drill have. */
export class KeycloakLab {
  /** Where the users' sessions are. */
  readonly sessions: KeycloakSessions;
  /** nyc, whose address is the public one, and lon. */
  readonly sites: readonly [KeycloakSite, KeycloakSite];
  readonly signal: AbortSignal;
  readonly #lab: Lab;

  private constructor(lab: Lab, sessions: KeycloakSessions, signal: AbortSignal) {
    this.#lab = lab;
    this.sessions = sessions;
    this.signal = signal;
    const parts = LAB_SITES.flatMap((site) => [
      lab.part("keycloak", site),
      lab.part("infinispan", site),
    ]);
    this.sites = labKeycloaks(parts) as [KeycloakSite, KeycloakSite];
  }

  /** Starts it in a folder that does not exist yet; what was started is stopped when that fails. */
  static async start(
    folder: string,
    sessions: KeycloakSessions,
    say: Say,
    signal: AbortSignal,
  ): Promise<KeycloakLab> {
    const lab = new Lab(folder, say);
    await lab.up(undefined, signal, labShape(sessions));
    return new KeycloakLab(lab, sessions, signal);
  }

  /** The caches that Keycloak makes, without `work`. */
  get caches(): readonly string[] {
    return this.sessions === "infinispan" ? [...CACHES, ...SESSION_CACHES] : CACHES;
  }

  /** The sites' names, in the same order. */
  get names(): readonly LabSiteName[] {
    return LAB_SITES;
  }

  /** Both ways. */
  get ways(): readonly [Way, Way] {
    const [nyc, lon] = this.sites;
    return [
      [nyc, lon],
      [lon, nyc],
    ];
  }

  /** Where the sites tell their status. */
  statusUrls(): ReadonlyMap<LabSiteName, string> {
    const url = (site: LabSiteName) =>
      `http://127.0.0.1:${this.#lab.part("isthmus", site).ports["http"]}/api/v1/status`;
    return new Map(LAB_SITES.map((site) => [site, url(site)]));
  }

  /** @throws Error when the site does not answer */
  async status(at: LabSiteName): Promise<SiteStatus> {
    const response = await fetch(this.statusUrls().get(at) ?? "");
    return (await response.json()) as SiteStatus;
  }

  /** The state of each cache of a site, by name. */
  async states(at: LabSiteName): Promise<ReadonlyMap<string, string>> {
    const { caches } = await this.status(at);
    return new Map(caches.map(({ cache, state }) => [cache, state]));
  }

  /** Resolves once every site says that it is up to date, and that its writers wait for the other where they are to. */
  async level(): Promise<void> {
    for (const site of LAB_SITES)
      await eventually(
        `${site} is level`,
        async () => {
          const status = await this.status(site);
          const why = whyNotLevel(status) ?? whyNotUsed(status);
          if (why !== undefined) throw new Error(why);
          return true;
        },
        BACK_MS_MAX,
      );
  }

  /** Resolves once the caches of both sites have the same keys, with how many those are. */
  async sameKeys(): Promise<number> {
    const [nyc, lon] = this.sites;
    let keys = 0;
    for (const cache of this.caches)
      await eventually(
        `the same keys in ${cache}`,
        async () => {
          const [atNyc, atLon] = await Promise.all([nyc.cache.keys(cache), lon.cache.keys(cache)]);
          const only = [
            ...atNyc.filter((key) => !atLon.includes(key)).map((key) => `${key} at nyc alone`),
            ...atLon.filter((key) => !atNyc.includes(key)).map((key) => `${key} at lon alone`),
          ];
          if (only.length > 0) throw new Error(only.join(", "));
          keys += atNyc.length;
          return true;
        },
        BACK_MS_MAX,
      );
    return keys;
  }

  /** Runs an operator's verb on the lab's file, and resolves with what it printed. @throws Error with what it said instead */
  async isthmus(verb: string, ...args: string[]): Promise<string> {
    const { file } = this.#lab.folder;
    const { code, stdout, stderr } = await runIsthmus(verb, file, args, VERB_MS_MAX);
    if (code === 0) return stdout;
    throw new Error(`isthmus ${verb} ended with ${code}: ${stderr || stdout}`);
  }

  /** Stops each site's process, changes the lab's file, and starts them again. */
  async edit(change: (file: string) => string): Promise<void> {
    const { file } = this.#lab.folder;
    const changed = change(readFileSync(file, "utf8"));
    await Promise.all(LAB_SITES.map((site) => this.stop("isthmus", site)));
    writeFileSync(file, changed);
    await Promise.all(LAB_SITES.map((site) => this.start("isthmus", site)));
    await this.used();
  }

  /** SIGTERM; resolves once it is gone. */
  async stop(kind: SitePart, at: LabSiteName): Promise<void> {
    await endProcess(this.#lab.part(kind, at), STOP_MS_MAX);
  }

  /** SIGKILL to all that a site has, as one as it can be. */
  async killSite(at: LabSiteName): Promise<void> {
    const parts = SITE_PARTS.map((kind) => this.#lab.part(kind, at));
    for (const { pid } of parts) process.kill(pid, "SIGKILL");
    for (const part of parts)
      await eventually(`${part.name} is gone`, async () => !(await isRunning(part)));
  }

  /**
   * Starts what was stopped or killed, unless it runs, and resolves once it can be used. An Infinispan comes back empty: its caches are in
   * memory. `fromNothing`: it has not even the caches, until its Keycloak starts.
   */
  async start(kind: SitePart, at: LabSiteName, fromNothing = false): Promise<void> {
    if (await isRunning(this.#lab.part(kind, at))) return;
    if (kind === "infinispan") {
      await startCache(this.#lab, at, fromNothing, this.signal);
      return;
    }
    // It is ready only when Keycloak has made its caches, which Keycloak does through its front door.
    const why = kind === "isthmus" ? whyDoorShut : whyNotReady;
    await this.#lab.start(kind, at, this.signal, {}, why);
  }

  /** Starts all that a site had, from nothing but its database and its Isthmus's data. */
  async startSite(at: LabSiteName): Promise<void> {
    for (const kind of SITE_PARTS) await this.start(kind, at, true);
    await this.used();
  }

  /** Starts whatever does not run: what a row left behind that failed half-way. Resolves with its names. */
  async mend(): Promise<string[]> {
    const mended: string[] = [];
    for (const kind of SITE_PARTS)
      for (const site of LAB_SITES) {
        if (await isRunning(this.#lab.part(kind, site))) continue;
        await this.start(kind, site);
        mended.push(this.#lab.part(kind, site).name);
      }
    if (mended.length > 0) await this.used();
    return mended;
  }

  /** Resolves once a balancer would send clients to both sites, and both are level. */
  async used(): Promise<void> {
    for (const site of this.sites)
      await eventually(
        `/lb-check of ${site.name} says 200`,
        async () => (await site.lbCheck()) === 200,
        BACK_MS_MAX,
      );
    await this.level();
  }

  /** The lab's processes as they were started last. */
  parts(): readonly LabProcess[] {
    return this.#lab.folder.state()?.processes ?? [];
  }

  /** Stops everything; `keep` leaves the folder, logs and data, for whoever wants to look. */
  async end(keep: boolean): Promise<void> {
    await this.#lab.down(keep);
    if (!keep) rmSync(this.#lab.folder.path, { recursive: true, force: true });
  }
}

/** The first cache that is not in use as the file says; undefined: all are. */
function whyNotUsed({ caches }: SiteStatus): string | undefined {
  for (const { cache, mode, state } of caches) {
    const good = mode === "sync" ? "held" : "live";
    if (!["off", "never", good].includes(state)) return `${cache} is ${state}`;
  }
  return undefined;
}
