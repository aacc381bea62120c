import { isMap, isScalar, isSeq } from "yaml";
import { ErrorCode } from "../errors.ts";
import type { FileReading, Place } from "./file-reading.ts";
import { didYouMean } from "./suggest.ts";

/** What a reader returns for a value that has a fault; the fault itself is in the file's diagnostics. */
export const FAULT: unique symbol = Symbol("fault");

/** Reads one value. Notes every fault it finds and goes on, so that the user sees all of them at once. */
export type Reader<T> = (place: Place, file: FileReading) => T | typeof FAULT;

/** A key of a mapping: how its value is read, and what stands for it when it is not there. */
export interface Field<T> {
  readonly read: Reader<T>;
  /** Without it the key must be there. */
  readonly byDefault?: () => T;
}

/** A key that must be there. */
export const required = <T>(read: Reader<T>): Field<T> => ({ read });

/** A key that may be left out. */
export const optional = <T>(read: Reader<T>): Field<T | undefined> => ({
  read,
  byDefault: () => undefined,
});

/** A key that has a value also when it is left out. */
export const withDefault = <T>(read: Reader<T>, value: T): Field<T> => ({
  read,
  byDefault: () => value,
});

type Fields = Record<string, Field<unknown>>;
type Values<F extends Fields> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** A mapping with known keys; others are faults. */
export function mapping<F extends Fields>(fields: F): Reader<Values<F>> {
  return (place, file) => {
    const entries = file.entries(place);
    if (entries === undefined) return wrongType(place, file, "a mapping");
    const values: Record<string, unknown> = {};
    let sound = true;
    for (const [key, entry] of entries) {
      if (Object.hasOwn(fields, key)) continue;
      const known = Object.keys(fields);
      const hint = didYouMean(key, known) || `; known here: ${known.join(", ")}`;
      file.error(entry.key, ErrorCode.FileUnknownKey, `unknown key${hint}`);
      sound = false;
    }
    for (const [key, field] of Object.entries(fields)) {
      const entry = entries.get(key);
      if (entry !== undefined) values[key] = field.read(entry.value, file);
      else if (field.byDefault !== undefined) values[key] = field.byDefault();
      else {
        file.error(place, ErrorCode.FileMissingKey, `missing key ${JSON.stringify(key)}`);
        sound = false;
      }
      if (values[key] === FAULT) sound = false;
    }
    return sound ? (values as Values<F>) : FAULT;
  };
}

/** A mapping whose keys all have defaults, so that it may be left out as a whole. */
export function defaulted<F extends Fields>(fields: F): Field<Values<F>> {
  const byDefault = (): Values<F> =>
    Object.fromEntries(
      Object.entries(fields).map(([key, field]) => [key, field.byDefault?.()]),
    ) as Values<F>;
  return { read: mapping(fields), byDefault };
}

/** A mapping with free keys, in the file's order; `readKey` judges the key. */
export function record<T>(readKey: Reader<string>, read: Reader<T>): Reader<Map<string, T>> {
  return (place, file) => {
    const entries = file.entries(place);
    if (entries === undefined) return wrongType(place, file, "a mapping");
    const values = new Map<string, T>();
    let sound = true;
    for (const [name, entry] of entries) {
      const key = readKey(entry.key, file);
      const value = read(entry.value, file);
      if (key === FAULT || value === FAULT) sound = false;
      else values.set(name, value);
    }
    return sound ? values : FAULT;
  };
}

/** A list of at least one. */
export function list<T>(read: Reader<T>): Reader<T[]> {
  return (place, file) => {
    const items = file.items(place);
    if (items === undefined) return wrongType(place, file, "a list such as [a, b]");
    if (items.length === 0) {
      file.error(place, ErrorCode.FileMissingKey, "expected at least one item, got an empty list");
      return FAULT;
    }
    const values = items.map((item) => read(item, file));
    return values.includes(FAULT) ? FAULT : (values as T[]);
  };
}

/** A text of at least one character. `what` completes "expected ...". */
export function text(what = "a text"): Reader<string> {
  return (place, file) => {
    const value = isScalar(place.node) ? place.node.value : undefined;
    if (typeof value === "string" && value !== "") return value;
    return wrongType(place, file, what);
  };
}

/** A text that matches `pattern`; otherwise the fault carries `code`. */
export function matching(pattern: RegExp, what: string, code: ErrorCode): Reader<string> {
  const readText = text(what);
  return (place, file) => {
    const value = readText(place, file);
    if (value === FAULT || pattern.test(value)) return value;
    file.error(place, code, `expected ${what}, got ${JSON.stringify(value)}`);
    return FAULT;
  };
}

/** One of a fixed set of words. A bare `off`, which YAML 1.1 writers turn into false, is the word off. */
export function choice<T extends string>(words: readonly T[]): Reader<T> {
  return (place, file) => {
    const value = isScalar(place.node) ? place.node.value : place.node;
    const word = value === false && words.includes("off" as T) ? "off" : value;
    if (words.includes(word as T)) return word as T;
    const hint = typeof word === "string" ? didYouMean(word, words) : "";
    const expected = `expected ${words.join("|")}, got ${shown(place)}${hint}`;
    file.error(place, ErrorCode.FileNotAChoice, expected);
    return FAULT;
  };
}

/** `true` or `false`. */
export const flag: Reader<boolean> = (place, file) => {
  const value = isScalar(place.node) ? place.node.value : undefined;
  return typeof value === "boolean" ? value : wrongType(place, file, "true or false");
};

/** A value that has to agree with others of its mapping: `check` notes what is wrong and says whether it is sound. */
export function checked<T>(
  read: Reader<T>,
  check: (value: T, place: Place, file: FileReading) => boolean,
): Reader<T> {
  return (place, file) => {
    const value = read(place, file);
    return value === FAULT || check(value, place, file) ? value : FAULT;
  };
}

/** Reads with `read` and turns the value into another. */
export function mapped<A, B>(
  read: Reader<A>,
  turn: (value: A, place: Place, file: FileReading) => B | typeof FAULT,
): Reader<B> {
  return (place, file) => {
    const value = read(place, file);
    return value === FAULT ? FAULT : turn(value, place, file);
  };
}

/** Notes that the value has another type than `expected`. */
export function wrongType(place: Place, file: FileReading, expected: string): typeof FAULT {
  file.error(place, ErrorCode.FileWrongType, `expected ${expected}, got ${shown(place)}`);
  return FAULT;
}

/** What stands in the file, for a message; longer texts are cut. */
export function shown({ node }: Place): string {
  if (node === null) return "nothing";
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return "a list";
  if (!isScalar(node)) return "something else";
  if (typeof node.value !== "string") return node.source ?? String(node.value);
  const short = node.value.length > 60 ? `${node.value.slice(0, 57)}...` : node.value;
  return JSON.stringify(short);
}
