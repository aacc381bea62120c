import type { FileReading, Place } from "../../topology/config/file-reading.ts";
import { parseFile } from "../../topology/config/parse-file.ts";
import type { ParsedFile } from "../../topology/config/parse-file.ts";
import {
  FAULT,
  checked,
  choice,
  flag,
  list,
  mapped,
  mapping,
  matching,
  optional,
  required,
  text,
  withDefault,
} from "../../topology/config/readers.ts";
import type { Reader } from "../../topology/config/readers.ts";
import { didYouMean } from "../../topology/config/suggest.ts";
import { duration, size, whole } from "../../topology/config/value-readers.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { FILE_RANGES } from "../../topology/limits.ts";
import { ON_TIMEOUTS } from "../../topology/policy/mode.ts";
import { LAB_SITES, SITE_NAMES } from "../lab/lab-file.ts";
import type { LabSiteName } from "../lab/lab-file.ts";
import { FOLDERS, GROUPS, TARGETS, WAYS, allSteps } from "./drill.ts";
import type { Drill, Expectation, Step } from "./drill.ts";

/** The `apiVersion` of drill files. */
export const DRILL_API_VERSION = "isthmus-drill/v1";

const span = duration({ min: 0, max: 3_600_000 });
const site = choice(SITE_NAMES);
const whose = { process: required(choice(TARGETS)), at: required(site) };

/** Reads the text of a drill file and finds every fault in it at once. */
export function parseDrill(source: string, file: string): ParsedFile<Drill> {
  return parseFile(source, { file }, (reading) => {
    const drill = body(reading.top(), reading);
    return drill === FAULT ? undefined : drill;
  });
}

const expectation: Reader<Expectation> = checked(
  mapped(
    mapping({
      within: withDefault(span, 0),
      lagBelow: optional(span),
      gapAt: optional(site),
      problem: optional(mapping({ at: required(site), says: required(text()) })),
      level: optional(flag),
      refilled: optional(site),
    }),
    ({ within, lagBelow, gapAt, problem, level, refilled }) => ({
      withinMs: within,
      lagBelowMs: lagBelow,
      gapAt,
      problem,
      level,
      refilled,
    }),
  ),
  (found, place, file) => {
    const { lagBelowMs, gapAt, problem, level, refilled } = found;
    if (lagBelowMs !== undefined || gapAt || problem || level || refilled) return true;
    const some = "expected at least one of lagBelow, gapAt, problem, level: true, refilled";
    file.error(place, ErrorCode.FileMissingKey, some);
    return false;
  },
);

/** Each action's own reader; the one place that says which there are. */
const ACTIONS: { readonly [A in Step["action"]]: Reader<Extract<Step, { action: A }>> } = {
  run: mapped(span, (ms) => ({ action: "run", ms, toMs: ms })),
  "run-about": mapped(mapping({ from: required(span), to: required(span) }), ({ from, to }) => ({
    action: "run-about",
    fromMs: from,
    toMs: to,
  })),
  repeat: mapped(
    mapping({
      times: required(whole({ min: 1, max: 1_000 })),
      inSmoke: optional(whole({ min: 1, max: 1_000 })),
      steps: required(list((place, file) => step(place, file))),
    }),
    ({ times, inSmoke, steps }) => ({ action: "repeat", times, inSmoke: inSmoke ?? times, steps }),
  ),
  cut: mapped(choice(WAYS), (way) => ({ action: "cut", way })),
  delay: mapped(
    mapping({ by: required(span), jitter: withDefault(span, 0) }),
    ({ by, jitter }) => ({ action: "delay", ms: by, jitterMs: jitter }),
  ),
  slow: mapped(size({ min: 1024, max: 2 ** 30 }), (bytesPerSecond) => ({
    action: "slow",
    bytesPerSecond,
  })),
  flaky: mapped(span, (ms) => ({ action: "flaky", ms })),
  heal: mapped(choice(["all"]), () => ({ action: "heal" })),
  kill: checked(
    mapped(mapping({ ...whose, mayLose: optional(span) }), ({ process, at, mayLose }) => ({
      action: "kill" as const,
      process,
      at,
      mayLoseMs: mayLose ?? 0,
    })),
    (found, place, file) => {
      if (found.mayLoseMs === 0 || found.process === "infinispan") return true;
      const why = "only an Infinispan, whose cache is in memory, may lose what it acknowledged";
      file.error(file.child(place, "mayLose") ?? place, ErrorCode.FileKeysClash, why);
      return false;
    },
  ),
  "kill-site": mapped(mapping({ at: required(site) }), ({ at }) => ({ action: "kill-site", at })),
  "start-site": mapped(mapping({ at: required(site) }), ({ at }) => ({ action: "start-site", at })),
  "move-traffic": mapped(
    mapping({ of: required(site), to: required(site), within: withDefault(span, 10_000) }),
    ({ of, to, within }) => ({ action: "move-traffic", of, to, withinMs: within }),
  ),
  verify: mapped(mapping({ within: withDefault(span, 30_000) }), ({ within }) => ({
    action: "verify",
    withinMs: within,
  })),
  pause: mapped(mapping({ ...whose, for: required(span) }), ({ process, at, for: ms }) => ({
    action: "pause",
    process,
    at,
    ms,
  })),
  start: mapped(mapping(whose), (of) => ({ action: "start", ...of })),
  stop: mapped(mapping(whose), (of) => ({ action: "stop", ...of })),
  "skew-clock": mapped(mapping({ at: required(site), by: required(span) }), ({ at, by }) => ({
    action: "skew-clock",
    at,
    byMs: by,
  })),
  "fill-disk": mapped(mapping({ at: required(site) }), ({ at }) => ({ action: "fill-disk", at })),
  "remove-folder": mapped(
    mapping({ folder: required(choice(FOLDERS)), at: required(site) }),
    (of) => ({ action: "remove-folder", ...of }),
  ),
  "start-second": mapped(mapping({ at: required(site) }), ({ at }) => ({
    action: "start-second",
    at,
  })),
  expect: mapped(expectation, (found) => ({ action: "expect", expectation: found })),
};

/** One step: a mapping with one key, the action. */
function step(place: Place, file: FileReading): Step | typeof FAULT {
  const entries = [...(file.entries(place) ?? [])];
  const [first] = entries;
  if (first === undefined || entries.length !== 1) {
    const expected = "expected one action, such as run: 10s";
    file.error(place, ErrorCode.FileWrongType, `${expected}, got ${entries.length}`);
    return FAULT;
  }
  const [name, { key, value }] = first;
  const names = Object.keys(ACTIONS);
  if (names.includes(name)) return ACTIONS[name as Step["action"]](value, file);
  const hint = didYouMean(name, names) || `; actions: ${names.join(", ")}`;
  file.error(key, ErrorCode.FileUnknownKey, `unknown action${hint}`);
  return FAULT;
}

const percent = whole({ min: 0, max: 100 });

const load = mapping({
  rate: withDefault(whole({ min: 10, max: 10_000 }), 300),
  keys: withDefault(whole({ min: 16, max: 100_000 }), 2_000),
  conflictKeys: withDefault(whole({ min: 0, max: 10_000 }), 100),
  conflicts: withDefault(percent, 5),
  // A remove that a site could not see made is told from a loss by how many are missing: see the promise on absences.
  removes: withDefault(percent, 2),
});

const anyBody: Reader<Drill> = mapped(
  mapping({
    apiVersion: required(choice([DRILL_API_VERSION])),
    name: required(
      matching(/^[a-z0-9-]{1,40}$/, "a name of a-z, 0-9 and -", ErrorCode.FileBadName),
    ),
    summary: required(text()),
    sites: withDefault(whole({ min: 2, max: SITE_NAMES.length }), LAB_SITES.length),
    groups: withDefault(list(choice(GROUPS)), []),
    load: withDefault(load, {
      rate: 300,
      keys: 2_000,
      conflictKeys: 100,
      conflicts: 5,
      removes: 2,
    }),
    alone: withDefault(flag, false),
    frontDoor: optional(
      mapping({
        onTimeout: required(choice(ON_TIMEOUTS)),
        timeout: withDefault(span, FILE_RANGES.holdMs.byDefault),
        at: required(list(site)),
      }),
    ),
    steps: required(list(step)),
    after: required(
      mapping({
        equalWithin: withDefault(span, 60_000),
        rtoBelow: optional(span),
        recoveryBelow: optional(span),
      }),
    ),
  }),
  ({ name, summary, sites, groups, alone, load: shape, frontDoor, steps, after }) => ({
    name,
    summary,
    sites: SITE_NAMES.slice(0, sites),
    groups,
    alone,
    load: shape,
    frontDoor: frontDoor && {
      onTimeout: frontDoor.onTimeout,
      timeoutMs: frontDoor.timeout,
      at: frontDoor.at,
    },
    steps,
    after: {
      equalWithinMs: after.equalWithin,
      rtoBelowMs: after.rtoBelow,
      recoveryBelowMs: after.recoveryBelow,
    },
  }),
);

const body: Reader<Drill> = checked(anyBody, ({ sites, steps, frontDoor }, place, file) => {
  const named = [...allSteps(steps).flatMap(sitesOf), ...(frontDoor?.at ?? [])];
  const missing = named.find((each) => !sites.includes(each));
  const moved = allSteps(steps).filter(({ action }) => action === "move-traffic");
  const shut = moved.flatMap(sitesOf).find((each) => frontDoor?.at.includes(each) !== true);
  if (missing === undefined && shut === undefined) return true;
  const why =
    missing === undefined
      ? `traffic moves between front doors: name ${shut} in frontDoor.at`
      : `a step names ${missing}, the drill's sites are ${sites.join(", ")}: say sites: 3`;
  file.error(place, ErrorCode.FileKeysClash, why);
  return false;
});

function sitesOf(named: Step): LabSiteName[] {
  if ("at" in named) return [named.at];
  if (named.action === "move-traffic") return [named.of, named.to];
  if (named.action !== "expect") return [];
  const { gapAt, problem, refilled } = named.expectation;
  return [gapAt, problem?.at, refilled].filter((each) => each !== undefined);
}
