import type { Preset } from "../config/config.ts";
import { presetRow } from "../config/presets/preset.ts";
import type { CacheName } from "../names.ts";

/** Whether a rule's name is a pattern: it has a `*`, which stands for any characters. */
export function isPattern(name: string): boolean {
  return name.includes("*");
}

/**
 * Whether a rule's name takes that cache: an exact name, or a pattern. A pattern never takes a cache that the preset calls
 * local: `match: "*"` must not be able to replicate it.
 */
export function reaches(preset: Preset, name: string, cache: CacheName): boolean {
  if (!isPattern(name)) return name === cache;
  return presetRow(preset, cache)?.mode !== "never" && fits(name, cache);
}

function fits(pattern: string, cache: CacheName): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop() ?? "";
  if (!cache.startsWith(first) || cache.length < first.length + last.length) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = cache.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return cache.endsWith(last) && cache.length - last.length >= at;
}
