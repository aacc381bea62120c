import type { OnTimeout } from "../../topology/policy/mode.ts";
import type { LabSiteName } from "../lab/lab-file.ts";

/** Processes that a drill can harm: a site's Isthmus, its nats-server, its Infinispan. */
export const TARGETS = ["site", "nats", "infinispan"] as const;

/** See {@link TARGETS}. */
export type Target = (typeof TARGETS)[number];

/** Ways of the link that can be cut, with three sites of nyc's to both others: all ends see it for `both`; one way just falls silent. */
export const WAYS = ["both", "nyc-to-lon", "lon-to-nyc"] as const;

/** See {@link WAYS}. */
export type Way = (typeof WAYS)[number];

/** A site's folders that a drill can remove: Isthmus's own data, and JetStream's. */
export const FOLDERS = ["ledger", "jetstream"] as const;

/** Groups a drill can be in: `smoke` belongs to `npm test`, `all` is every drill of the catalogue. */
export const GROUPS = ["smoke"] as const;

/** One process of one site. */
export interface Whose {
  readonly process: Target;
  readonly at: LabSiteName;
}

/** What must be true at a moment of the drill, or come true in time. */
export interface Expectation {
  /** How long it may take to come true, in ms; 0: it is true now. */
  readonly withinMs: number;
  /** No write of either site waits longer than this for showing at the other, in ms. */
  readonly lagBelowMs: number | undefined;
  /** This site's status has told of a gap since the drill began. */
  readonly gapAt: LabSiteName | undefined;
  /** A problem in a site's status has, since the drill began, held these words or this code. */
  readonly problem: { readonly at: LabSiteName; readonly says: string } | undefined;
  /** All sites are up to date, without a gap or a problem. */
  readonly level: boolean | undefined;
  /** This site's cache, which came back empty, holds again what the others hold, but for what is in flight. */
  readonly refilled: LabSiteName | undefined;
}

/** One step: one of a closed set of actions. */
export type Step =
  | { readonly action: "run"; readonly ms: number }
  /** For a random time between both. */
  | { readonly action: "run-about"; readonly fromMs: number; readonly toMs: number }
  | {
      readonly action: "repeat";
      readonly times: number;
      readonly inSmoke: number;
      readonly steps: readonly Step[];
    }
  | { readonly action: "cut"; readonly way: Way }
  | { readonly action: "delay"; readonly ms: number; readonly jitterMs: number }
  | { readonly action: "slow"; readonly bytesPerSecond: number }
  | { readonly action: "flaky"; readonly ms: number }
  | { readonly action: "heal" }
  /** SIGKILL. `mayLoseMs`: acknowledged writes of this time before it may be gone, and are counted. */
  | ({ readonly action: "kill"; readonly mayLoseMs: number } & Whose)
  /** SIGKILL to all that a site has. What its clients were told of must be elsewhere already. */
  | { readonly action: "kill-site"; readonly at: LabSiteName }
  /** All of it again; its Infinispan is empty. */
  | { readonly action: "start-site"; readonly at: LabSiteName }
  /** Whoever writes at a site writes at the other from now on, through its front door, as when a load balancer moves traffic. */
  | {
      readonly action: "move-traffic";
      readonly of: LabSiteName;
      readonly to: LabSiteName;
      readonly withinMs: number;
    }
  /** `isthmus verify`, until no key differs. */
  | { readonly action: "verify"; readonly withinMs: number }
  | ({ readonly action: "pause"; readonly ms: number } & Whose)
  | ({ readonly action: "start" } & Whose)
  | ({ readonly action: "stop" } & Whose)
  | { readonly action: "skew-clock"; readonly at: LabSiteName; readonly byMs: number }
  | { readonly action: "fill-disk"; readonly at: LabSiteName }
  | {
      readonly action: "remove-folder";
      readonly folder: (typeof FOLDERS)[number];
      readonly at: LabSiteName;
    }
  | { readonly action: "start-second"; readonly at: LabSiteName }
  | { readonly action: "expect"; readonly expectation: Expectation };

/** The write load of a drill. */
export interface LoadShape {
  /** Writes a second, all sites together. */
  readonly rate: number;
  /** Keys that one site alone writes, a site. */
  readonly keys: number;
  /** Keys that all sites write. */
  readonly conflictKeys: number;
  /** Percent of writes that go to those. */
  readonly conflicts: number;
  /** Percent of operations that are removes. */
  readonly removes: number;
}

/** Writers that come through front doors, under `sync`. */
export interface DoorShape {
  readonly onTimeout: OnTimeout;
  readonly timeoutMs: number;
  /** Sites with writers; the others have none. */
  readonly at: readonly LabSiteName[];
}

/** A rehearsal as its file has it. */
export interface Drill {
  readonly name: string;
  /** Of its lab; with three the first one's link is the one that can be harmed. */
  readonly sites: readonly LabSiteName[];
  readonly summary: string;
  readonly groups: readonly (typeof GROUPS)[number][];
  /** It takes so long that it is not of `all`. */
  readonly alone: boolean;
  readonly load: LoadShape;
  /** undefined: writers of all sites write to their Infinispan directly, under `async`. */
  readonly frontDoor: DoorShape | undefined;
  readonly steps: readonly Step[];
  readonly after: {
    /** How long after the load the sites may take to be equal, in ms. */
    readonly equalWithinMs: number;
    /** Longest that a write made during a fault may wait for showing at the other site, in ms; undefined: only measured. */
    readonly rtoBelowMs: number | undefined;
    /** Longest time from a fault's end until all writes made during it show, in ms; undefined: only measured. */
    readonly recoveryBelowMs: number | undefined;
  };
}

/** Something that a drill needs beyond a lab. */
export type Need = "toxiproxy" | "root" | "faketime" | "keycloak";

const NEED_OF: Partial<Record<Step["action"], Need>> = {
  cut: "toxiproxy",
  delay: "toxiproxy",
  slow: "toxiproxy",
  flaky: "toxiproxy",
  "fill-disk": "root",
  "skew-clock": "faketime",
};

/** All steps, those that are repeated once. */
export function allSteps(steps: readonly Step[]): Step[] {
  return steps.flatMap((step) =>
    step.action === "repeat" ? [step, ...allSteps(step.steps)] : [step],
  );
}

/** What the drill's actions need beyond a lab. */
export function needsOf(drill: Drill): Need[] {
  const needs = allSteps(drill.steps).flatMap(({ action }) => NEED_OF[action] ?? []);
  return [...new Set(needs)].sort();
}
