import { IsthmusError } from "../../topology/errors.ts";

/** Causes of causes that a line shows; errors of the libraries below come two or three deep. */
const CAUSES_MAX = 4;

/**
 * An error as a log line shows it: code, message, hint and the messages beneath. The stack only for errors that Isthmus did
 * not raise on purpose: those are bugs, ours or a library's.
 */
export function errorFields(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const causes = causesOf(error);
  const beneath = causes.length === 0 ? {} : { causes };
  if (!(error instanceof IsthmusError))
    return { type: error.name, message: error.message, ...beneath, stack: error.stack };
  const { code, message, hint } = error;
  return { code, message, ...(hint !== undefined && { hint }), ...beneath };
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  let { cause } = error;
  while (cause instanceof Error && causes.length < CAUSES_MAX) {
    causes.push(cause.message);
    ({ cause } = cause);
  }
  return causes;
}
