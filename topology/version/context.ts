import type { SiteName } from "../names.ts";
import type { Context, Dot } from "./entry.ts";

/** The context of one who has seen nothing. */
export const EMPTY_CONTEXT: Context = new Map();

/** Whether `context` has seen `dot` of `site`. */
export function covers(context: Context, site: SiteName, dot: Dot): boolean {
  return (context.get(site) ?? 0n) >= dot;
}

/** Whether `context` has seen all that `other` has. */
export function coversAll(context: Context, other: Context): boolean {
  for (const [site, dot] of other) if (!covers(context, site, dot)) return false;
  return true;
}

/** All that either has seen: per site the higher dot. */
export function joinContexts(a: Context, b: Context): Context {
  if (coversAll(a, b)) return a;
  const joined = new Map(a);
  for (const [site, dot] of b) if (!covers(a, site, dot)) joined.set(site, dot);
  return joined;
}

/** `context`, with `dot` of `site` seen. */
export function withDot(context: Context, site: SiteName, dot: Dot): Context {
  return covers(context, site, dot) ? context : new Map(context).set(site, dot);
}

/** Whether both have seen the same; a dot of 0 is the same as none. */
export function equalContexts(a: Context, b: Context): boolean {
  return coversAll(a, b) && coversAll(b, a);
}
