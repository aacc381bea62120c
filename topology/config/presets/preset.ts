import type { CacheName } from "../../names.ts";
import type { Mode } from "../../policy/mode.ts";
import type { Preset } from "../config.ts";
import { keycloakPreset } from "./keycloak.ts";

/** One cache of a preset: a policy and nothing else. */
export interface PresetRow {
  readonly cache: CacheName;
  readonly mode: Mode;
  /** See the same of a rule. */
  readonly localKeys?: readonly string[];
  /** Why this mode, for `isthmus caches`. */
  readonly reason: string;
}

const ROWS: Readonly<Record<Preset, readonly PresetRow[]>> = { none: [], keycloak: keycloakPreset };

/** The rows of a preset; they come after the file's own rules. */
export function presetRows(preset: Preset): readonly PresetRow[] {
  return ROWS[preset];
}

/** The preset's row for that cache, or undefined. */
export function presetRow(preset: Preset, cache: CacheName): PresetRow | undefined {
  return ROWS[preset].find((row) => row.cache === cache);
}
