import type { Verdict } from "./checker.ts";
import type { Lag } from "./probes.ts";
import type { Told } from "./status-watch.ts";

/** One thing that the drill looked at, and how it stood. */
export interface Check {
  readonly name: string;
  readonly passed: boolean;
  /** It could not be looked at on this machine, which is no failure here. */
  readonly isSkipped?: boolean;
  /** What was found, in words and figures. */
  readonly detail: string;
  /** How long that took. */
  readonly ms?: number;
}

/** One fault, and how long writes did not come through. Times are ms since the epoch, durations ms. */
export interface Fault {
  readonly what: string;
  readonly from: number;
  /** When the drill undid it. */
  readonly to: number;
  /** By way, the longest that a write made during it waited for showing at the other site; null: none ever did. */
  readonly rtoMs: Readonly<Record<string, number | null>>;
  /** By way, from the fault's end until all writes made during it showed; 0: they did before. */
  readonly recoveryMs: Readonly<Record<string, number | null>>;
}

/** One step as it was done. */
export interface StepDone {
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** Everything that one drill found: what `--json` prints, and what the pages are made of. */
export interface DrillReport {
  readonly name: string;
  readonly summary: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, or what stopped it; null: it ran to its end. */
  readonly why: string | null;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly checks: readonly Check[];
  /**
   * Worst of all faults, or, where traffic was moved, from the move until each of its writers was served, ms; null: there was
   * none, or writes never came through again.
   */
  readonly rtoMs: number | null;
  readonly recoveryMs: number | null;
  /** Keys whose acknowledged writes are gone, those that the drill excuses included; null: it was not looked at. */
  readonly rpo: number | null;
  readonly load: { readonly acknowledged: number; readonly failed: number };
  readonly verdict: Verdict | null;
  readonly lag: Readonly<Record<string, Lag>>;
  readonly faults: readonly Fault[];
  readonly steps: readonly StepDone[];
  readonly told: readonly Told[];
  /** By way, `[writtenAt, lag]` of what came to show. */
  readonly probes: Readonly<Record<string, readonly (readonly [number, number])[]>>;
}

/** A drill that did not run. */
export function skipped(name: string, summary: string, why: string, failed: boolean): DrillReport {
  const outcome = failed ? "failed" : "skipped";
  return withoutLoad({ name, summary, outcome, why, startedAt: Date.now(), checks: [] });
}

/** What a drill found that has no writers and no faults of the usual kind, and ends now. */
export function withoutLoad(
  found: Pick<DrillReport, "name" | "summary" | "outcome" | "why" | "startedAt" | "checks">,
): DrillReport {
  return {
    ...found,
    endedAt: Date.now(),
    rtoMs: null,
    recoveryMs: null,
    rpo: null,
    load: { acknowledged: 0, failed: 0 },
    verdict: null,
    lag: {},
    faults: [],
    steps: [],
    told: [],
    probes: {},
  };
}

/** The largest of some durations; null when there is none, or one is not known. */
export function worst(durations: readonly (number | null)[]): number | null {
  if (durations.length === 0 || durations.includes(null)) return null;
  return Math.max(...(durations as readonly number[]));
}

/** Duration for people: `850 ms`, `12.3 s`. */
export function inWords(ms: number | null): string {
  if (ms === null) return "never";
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
