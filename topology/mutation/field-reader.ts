import { ErrorCode, IsthmusError } from "../errors.ts";
import type { Plain } from "./plain-msgpack.ts";

/** Reads a decoded array field by field, each checked; whatever does not fit is one error that names the field. */
export class FieldReader {
  readonly #what: string;
  readonly #fields: readonly Plain[];
  #at = 0;

  constructor(what: string, value: Plain | undefined) {
    this.#what = what;
    if (!Array.isArray(value)) throw malformed(`${what} is no array`);
    this.#fields = value as readonly Plain[];
  }

  get left(): number {
    return this.#fields.length - this.#at;
  }

  text(name: string): string {
    const value = this.#next();
    return typeof value === "string" ? value : this.#refuse(name, "text");
  }

  bytes(name: string): Uint8Array {
    const value = this.#next();
    return value instanceof Uint8Array ? value : this.#refuse(name, "bytes");
  }

  bytesOrNil(name: string): Uint8Array | undefined {
    return this.#nil() ? undefined : this.bytes(name);
  }

  flag(name: string): boolean {
    const value = this.#next();
    return typeof value === "boolean" ? value : this.#refuse(name, "true or false");
  }

  whole(name: string): number {
    const value = this.#next();
    return Number.isSafeInteger(value) ? (value as number) : this.#refuse(name, "a whole number");
  }

  wholeOrNil(name: string): number | undefined {
    return this.#nil() ? undefined : this.whole(name);
  }

  count(name: string): number {
    const value = this.whole(name);
    return value >= 0 ? value : this.#refuse(name, "a number >= 0");
  }

  dot(name: string): bigint {
    const value = this.#next();
    return typeof value === "bigint" && value >= 0n ? value : this.#refuse(name, "a dot");
  }

  /** A flat array of index into `sites` and what `read` makes of the field after it. */
  bySite<T>(name: string, sites: readonly string[], read: (row: FieldReader) => T): Map<string, T> {
    const row = new FieldReader(`${this.#what}'s ${name}`, this.#next());
    const result = new Map<string, T>();
    while (row.left > 0) {
      const site = sites[row.count("site")];
      if (site === undefined || result.has(site)) return this.#refuse(name, "known sites, once");
      result.set(site, read(row));
    }
    return result;
  }

  array(name: string): readonly Plain[] {
    const value = this.#next();
    return Array.isArray(value) ? (value as readonly Plain[]) : this.#refuse(name, "an array");
  }

  done(): void {
    if (this.left > 0) throw malformed(`${this.#what} has ${this.left} fields too many`);
  }

  #next(): Plain | undefined {
    return this.#fields[this.#at++];
  }

  #nil(): boolean {
    const nil = this.#fields[this.#at] === null;
    if (nil) this.#at++;
    return nil;
  }

  #refuse(name: string, expected: string): never {
    const found = this.#at > this.#fields.length ? "nothing" : "something else";
    throw malformed(`${this.#what}'s ${name} is to be ${expected}, found ${found}`);
  }
}

/** The error for bytes that are no record of the wire version that they claim. */
export const malformed = (why: string): IsthmusError =>
  new IsthmusError(ErrorCode.WireMalformed, `a log record is malformed: ${why}`);
