import { isMap } from "yaml";
import { ErrorCode } from "../errors.ts";
import { FILE_RANGES } from "../limits.ts";
import { BUILT_IN_MERGES, isModulePath } from "../policy/merge-name.ts";
import type { ConflictPolicy } from "../policy/conflict.ts";
import { MODES, ON_TIMEOUTS } from "../policy/mode.ts";
import { isPattern, reaches } from "../policy/reach.ts";
import type { PolicyRule } from "./config.ts";
import type { FileReading, Place } from "./file-reading.ts";
import { presetRows } from "./presets/preset.ts";
import {
  FAULT,
  choice,
  flag,
  list,
  mapped,
  mapping,
  optional,
  record,
  required,
  text,
  withDefault,
  wrongType,
} from "./readers.ts";
import type { Reader } from "./readers.ts";
import { didYouMean } from "./suggest.ts";
import { duration, knownSite } from "./value-readers.ts";

const CONFLICT_WORDS = [
  "last-writer-wins",
  "first-writer-wins",
  "prefer-put",
  "prefer-remove",
] as const;
const CONFLICT_MAPPINGS = ["prefer-site: [SITE, ...]", "merge: NAME"];

const oneOrMore = (place: Place, file: FileReading): string[] | typeof FAULT => {
  if (file.items(place) !== undefined) return list(text("a cache's name"))(place, file);
  const one = text("a cache's name or a list of them")(place, file);
  return one === FAULT ? FAULT : [one];
};

const mergeName: Reader<string> = mapped(text("a merge's name"), (name, place, file) => {
  if (BUILT_IN_MERGES.includes(name)) return name;
  if (isModulePath(name)) return file.resolvePath(name);
  const hint = didYouMean(name, BUILT_IN_MERGES);
  const expected = `expected ${BUILT_IN_MERGES.join("|")} or a module's path such as ./merge.mjs`;
  const message = `${expected}, got ${JSON.stringify(name)}${hint}`;
  file.error(place, ErrorCode.FileNotAChoice, message);
  return FAULT;
});

const conflictMapping = mapped(
  mapping({ "prefer-site": optional(list(knownSite)), merge: optional(mergeName) }),
  ({ "prefer-site": preferSite, merge }, place, file): ConflictPolicy | typeof FAULT => {
    if (preferSite !== undefined && merge === undefined) return { preferSite };
    if (merge !== undefined && preferSite === undefined) return { merge };
    const message = `expected one of ${CONFLICT_MAPPINGS.join(" and ")}`;
    file.error(place, ErrorCode.FileKeysClash, message);
    return FAULT;
  },
);

/** Reads a conflict policy: a word, or a mapping of one key. */
const conflict: Reader<ConflictPolicy> = (place, file) => {
  if (isMap(place.node)) return conflictMapping(place, file);
  if (file.items(place) === undefined) return choice(CONFLICT_WORDS)(place, file);
  return wrongType(place, file, [...CONFLICT_WORDS, ...CONFLICT_MAPPINGS].join(" | "));
};

const ruleBody = mapping({
  match: required(oneOrMore),
  mode: required(choice(MODES)),
  timeout: optional(duration(FILE_RANGES.holdMs)),
  onTimeout: optional(choice(ON_TIMEOUTS)),
  conflict: optional(conflict),
  to: optional(list(knownSite)),
  rename: withDefault(record(knownSite, text("the cache's name there")), new Map()),
  singleUse: optional(choice(["home"] as const)),
  evicts: withDefault(flag, false),
  localKeys: optional(list(text("what a key's text begins with"))),
});

/** Reads one rule of `policies`. */
export const rule: Reader<PolicyRule> = mapped(ruleBody, ({ timeout, ...body }, place, file) => {
  const read: PolicyRule = { ...body, timeoutMs: timeout, line: file.lineOf(place) };
  const sound = [keepsLocalCachesLocal(read, place, file), renamesOne(read, place, file)];
  warnOfNoEffect(read, place, file);
  return sound.every(Boolean) ? read : FAULT;
});

/** A pattern never reaches a local cache of the preset, so only exact names can be wrong. */
function keepsLocalCachesLocal(read: PolicyRule, place: Place, file: FileReading): boolean {
  if (read.mode === "never") return true;
  const local = presetRows(file.preset).filter(
    (row) => row.mode === "never" && read.match.includes(row.cache),
  );
  for (const row of local)
    file.error(
      keyPlace(place, "match", file),
      ErrorCode.FileNeverOverridden,
      `preset ${file.preset} says never for ${JSON.stringify(row.cache)} (${row.reason}); ` +
        `got mode ${read.mode}: take it out of this rule`,
    );
  return local.length === 0;
}

/** Two caches that are renamed to one local name would write into each other. */
function renamesOne(read: PolicyRule, place: Place, file: FileReading): boolean {
  if (read.rename.size === 0) return true;
  if (read.match.length === 1 && !read.match.some(isPattern)) return true;
  file.error(
    keyPlace(place, "rename", file),
    ErrorCode.FileKeysClash,
    `rename needs a rule for exactly one cache, got match ${read.match.join(", ")}`,
  );
  return false;
}

function warnOfNoEffect(read: PolicyRule, place: Place, file: FileReading): void {
  const warn = (key: string, why: string): void =>
    file.warning(keyPlace(place, key, file), ErrorCode.FileNoEffect, why);
  if (read.mode !== "sync") {
    if (read.timeoutMs !== undefined) warn("timeout", `only mode sync waits; this is ${read.mode}`);
    if (read.onTimeout !== undefined)
      warn("onTimeout", `only mode sync waits; this is ${read.mode}`);
  }
  const home = read.singleUse === "home";
  if (home && file.sitesWithoutFrontDoor.length > 0)
    warn(
      "singleUse",
      `only a front door asks the key's home; without frontDoor: ${file.sitesWithoutFrontDoor.join(", ")}`,
    );
}

/** Warns of each rule whose every name an earlier rule takes: the first match wins. */
export function warnOfUnreachable(
  rules: readonly (PolicyRule | typeof FAULT)[],
  places: readonly Place[],
  file: FileReading,
): void {
  const taken: string[] = [];
  rules.forEach((read, i) => {
    const place = places[i];
    if (read === FAULT || place === undefined) return;
    if (read.match.every((name) => taken.some((earlier) => reaches(file.preset, earlier, name))))
      file.warning(
        keyPlace(place, "match", file),
        ErrorCode.FileRuleUnreachable,
        "never applies: earlier rules take all of its caches, and the first match wins",
      );
    taken.push(...read.match);
  });
}

function keyPlace(place: Place, key: string, file: FileReading): Place {
  return file.child(place, key) ?? place;
}
