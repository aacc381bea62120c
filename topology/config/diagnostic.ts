import type { ErrorCode } from "../errors.ts";

/** One fault of the file, at one place. */
export interface Diagnostic {
  /** The file's name as the user gave it. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** In characters, from 1. */
  readonly col: number;
  /** A file with an error is not used; a warning stops nothing. */
  readonly severity: "error" | "warning";
  readonly code: ErrorCode;
  /** The key's way from the top, for example `policies[0].mode`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** One line for people and editors: `isthmus.yaml:14:11 error IS1007 policies[0].mode: expected ...`. */
export function renderDiagnostic(d: Diagnostic): string {
  const place = `${d.file}:${d.line}:${d.col} ${d.severity} ${d.code}`;
  return d.path === "" ? `${place} ${d.message}` : `${place} ${d.path}: ${d.message}`;
}
