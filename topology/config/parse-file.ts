import { LineCounter, parseDocument } from "yaml";
import { ErrorCode } from "../errors.ts";
import { FILE_BYTES_MAX } from "../limits.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { FileReading } from "./file-reading.ts";
import type { Place } from "./file-reading.ts";

/** What a YAML file turned out to be: a value, or what is wrong with it. Warnings come with either. */
export interface ParsedFile<T> {
  /** undefined exactly if a diagnostic is an error. */
  readonly value: T | undefined;
  /** In the file's order. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads the text of a YAML file with `readTop`, which notes every fault it finds; a text that is no YAML is not looked into.
 *
 * `options.file` is its name in diagnostics; against `options.directory` its relative paths are resolved.
 */
export function parseFile<T>(
  source: string,
  options: { readonly file: string; readonly directory?: string },
  readTop: (file: FileReading) => T | undefined,
): ParsedFile<T> {
  const lines = new LineCounter();
  const isTooLarge = Buffer.byteLength(source) > FILE_BYTES_MAX;
  const document = parseDocument(isTooLarge ? "" : source, {
    lineCounter: lines,
    prettyErrors: false,
    version: "1.2",
  });
  const file = new FileReading(options.file, document, lines, options.directory);
  let value: T | undefined;
  if (isTooLarge)
    file.error(file.top(), ErrorCode.FileOutOfRange, `expected at most ${FILE_BYTES_MAX} bytes`);
  else if (noteYamlFaults(document, file)) value = readTop(file);
  const diagnostics = file.diagnostics.sort((a, b) => a.line - b.line || a.col - b.col);
  const faulty = diagnostics.some((d) => d.severity === "error");
  return { value: faulty ? undefined : value, diagnostics };
}

/** Notes what the YAML parser found; false if it makes no sense to read on. */
function noteYamlFaults(document: ReturnType<typeof parseDocument>, file: FileReading): boolean {
  const at = (offset: number): Place => ({ node: null, path: "", offset });
  for (const { code, message, pos } of document.errors) {
    if (code === "DUPLICATE_KEY")
      file.error(at(pos[0]), ErrorCode.FileDuplicateKey, "this mapping has the same key before");
    else file.error(at(pos[0]), ErrorCode.FileNotYaml, message);
  }
  for (const { message, pos } of document.warnings)
    file.warning(at(pos[0]), ErrorCode.FileNotYaml, message);
  return document.errors.every(({ code }) => code === "DUPLICATE_KEY");
}
