import { setTimeout as sleep } from "node:timers/promises";
import type { LabSiteName } from "../lab/lab-file.ts";
import type { SiteStatus } from "../status/site-status.ts";

/** Between two looks, in ms. */
const LOOK_MS = 500;
/** A site that does not answer by then is looked at again, in ms. */
const ANSWER_MS_MAX = 2_000;

/** Something that a site's status told, and when it was seen first and last, ms since the epoch. */
export interface Told {
  readonly at: LabSiteName;
  readonly kind: "gap" | "problem";
  readonly what: string;
  readonly from: number;
  to: number;
}

/** Reads the sites' status all the time, and remembers what gaps and problems they told. */
export class StatusWatch {
  readonly #sites: readonly LabSiteName[];
  readonly #told = new Map<string, Told>();
  readonly #stopping = new AbortController();
  readonly #newest = new Map<LabSiteName, SiteStatus | undefined>();
  readonly #loops: Promise<void>[];

  /** `urls` are those of `/api/v1/status`. */
  constructor(urls: ReadonlyMap<LabSiteName, string>) {
    this.#sites = [...urls.keys()];
    this.#loops = Array.from(urls, ([site, url]) => this.#watch(site, url));
  }

  /** Everything that was told so far. */
  told(): readonly Told[] {
    return [...this.#told.values()];
  }

  /** Why the sites are not level: not all up to date, without a gap or a problem; undefined when they are. */
  whyNotLevel(): string | undefined {
    for (const site of this.#sites) {
      const status = this.#newest.get(site);
      if (status === undefined) return `${site} does not answer`;
      const why = whyNotLevel(status);
      if (why !== undefined) return `${site}: ${why}`;
    }
    return undefined;
  }

  /** Whether a site listens to its caches, as it told last. */
  listens(site: LabSiteName): boolean {
    const states = this.#newest.get(site)?.caches.map(({ state }) => state) ?? ["blocked"];
    return !states.includes("blocked");
  }

  /** Ends the watching. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
  }

  async #watch(site: LabSiteName, url: string): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const status = await look(url);
      this.#newest.set(site, status);
      if (status !== undefined)
        for (const [kind, what] of tells(status)) this.#note(site, kind, what);
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #note(at: LabSiteName, kind: Told["kind"], what: string): void {
    const key = `${at} ${kind} ${what.replace(/\d+/g, "N")}`;
    const known = this.#told.get(key);
    if (known === undefined)
      this.#told.set(key, { at, kind, what, from: Date.now(), to: Date.now() });
    else known.to = Date.now();
  }
}

async function look(url: string): Promise<SiteStatus | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    return (await response.json()) as SiteStatus;
  } catch {
    return undefined;
  }
}

function* tells(status: SiteStatus): Generator<[Told["kind"], string]> {
  for (const { code, what } of status.problems)
    yield ["problem", code === null ? what : `${code} ${what}`];
  for (const { cache, gap, origins } of status.caches) {
    if (gap !== null) yield ["gap", `${cache}: ${gap.reason}`];
    for (const origin of origins)
      if (origin.gap !== null)
        yield ["gap", `${cache} from ${origin.origin}: ${origin.gap.reason}`];
  }
}

/** Why a site is not level, by its own status: up to date, without a gap or a problem; undefined when it is. */
export function whyNotLevel(status: SiteStatus): string | undefined {
  if (status.state !== "active") return `its process is ${status.state}`;
  const [problem] = status.problems;
  if (problem !== undefined) return problem.what;
  for (const { gap, origins, targets } of status.caches) {
    const gaps = [gap, ...origins.map((origin) => origin.gap)].filter((each) => each !== null);
    if (gaps[0] !== undefined) return `a gap: ${gaps[0].reason}`;
    const behind = targets.find(({ state }) => state === "silent" || state === "offline");
    if (behind !== undefined) return `${behind.target} is ${behind.state}`;
  }
  return undefined;
}
