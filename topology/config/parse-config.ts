import { isScalar } from "yaml";
import { ErrorCode } from "../errors.ts";
import { PRESETS } from "./config.ts";
import type { Config, PolicyRule, Site } from "./config.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { FileReading } from "./file-reading.ts";
import { limits } from "./limit-readers.ts";
import { parseFile } from "./parse-file.ts";
import {
  FAULT,
  choice,
  mapped,
  mapping,
  record,
  required,
  withDefault,
  wrongType,
} from "./readers.ts";
import type { Reader } from "./readers.ts";
import { rule, warnOfUnreachable } from "./rule-readers.ts";
import { namedSite, siteBody } from "./site-readers.ts";
import { didYouMean } from "./suggest.ts";
import { checkUniqueAddresses, checkUniqueDomains } from "./unique-values.ts";
import { newSiteName, plainName } from "./value-readers.ts";

/** The `apiVersion` that this program reads. */
export const API_VERSION = "isthmus/v1";

/** What a file turned out to be: a config, or what is wrong with it. Warnings come with either. */
export interface ParsedConfig {
  /** undefined exactly if a diagnostic is an error. */
  readonly config: Config | undefined;
  /** In the file's order. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads the text of an `isthmus.yaml` and finds every fault in it at once; only a text that is no YAML, or that is written
 * for another `apiVersion`, is not looked into.
 *
 * `options.file` is its name in diagnostics; against `options.directory` its relative paths are resolved, without it they
 * stay as written.
 */
export function parseConfig(
  source: string,
  options: { readonly file: string; readonly directory?: string },
): ParsedConfig {
  const { value, diagnostics } = parseFile(source, options, readTop);
  return { config: value, diagnostics };
}

function readTop(file: FileReading): Config | undefined {
  const top = file.top();
  if (file.entries(top) === undefined) {
    wrongType(top, file, `a mapping that starts with "apiVersion: ${API_VERSION}"`);
    return undefined;
  }
  const version = file.child(top, "apiVersion");
  if (version !== undefined && apiVersion(version, file) === FAULT) return undefined;
  const body = fileBody(top, file);
  checkUniqueAddresses(file);
  checkUniqueDomains(file);
  if (body === FAULT) return undefined;
  return {
    name: body.name,
    preset: body.preset,
    sites: body.sites,
    policies: body.policies,
    limits: body.limits,
  };
}

const apiVersion: Reader<string> = (place, file) => {
  const value = isScalar(place.node) ? place.node.value : undefined;
  if (value === API_VERSION) return value;
  const hint = didYouMean(String(value), [API_VERSION]);
  const found = `expected ${API_VERSION}, got ${JSON.stringify(value ?? null)}${hint}`;
  file.error(place, ErrorCode.FileApiVersion, `${found}; nothing else was looked at`);
  return FAULT;
};

/** Already judged before anything else is read: a second look would report it twice. */
const judgedApiVersion: Reader<true> = () => true;

const sites: Reader<Site[]> = mapped(record(newSiteName, siteBody), (bodies, place, file) => {
  if (bodies.size === 0) {
    file.error(place, ErrorCode.FileMissingKey, "expected at least one site, got none");
    return FAULT;
  }
  if (bodies.size === 1)
    file.warning(place, ErrorCode.FileNoEffect, "one site has nowhere to replicate to");
  return [...bodies].map(([name, body]) => namedSite(name, body, file));
});

const policies: Reader<PolicyRule[]> = (place, file) => {
  const items = file.items(place);
  if (items === undefined) return wrongType(place, file, "a list of rules");
  const rules = items.map((item) => rule(item, file));
  warnOfUnreachable(rules, items, file);
  return rules.includes(FAULT) ? FAULT : (rules as PolicyRule[]);
};

const fileBody = mapping({
  apiVersion: required(judgedApiVersion),
  name: withDefault(plainName, "isthmus"),
  preset: withDefault(choice(PRESETS), "none"),
  sites: required(sites),
  policies: withDefault(policies, []),
  limits,
});
