import { IsthmusError } from "../../topology/errors.ts";

/** What an error says to people, and its code, null for one that is none of ours. */
export function told(error: unknown): { readonly why: string; readonly code: string | null } {
  const why = error instanceof Error ? error.message : String(error);
  return { why, code: error instanceof IsthmusError ? error.code : null };
}
