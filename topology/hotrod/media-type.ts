import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** A media type as a Hot Rod header names it. */
export interface MediaType {
  /** The predefined number; undefined when the type is sent by name. */
  readonly id: number | undefined;
  /** For example `application/x-protostream`; "" for a predefined number that is not known here. */
  readonly name: string;
  readonly params: readonly (readonly [name: string, value: string])[];
}

/** The predefined media types. Source: Infinispan's `MediaTypeIds.java`. */
const NAMES: Readonly<Record<number, string>> = {
  1: "application/x-java-object",
  2: "application/json",
  3: "application/octet-stream",
  4: "application/pdf",
  5: "application/rtf",
  6: "application/zip",
  7: "image/gif",
  8: "image/jpeg",
  9: "image/png",
  10: "text/css",
  11: "text/csv",
  12: "application/x-protostream",
  13: "text/plain",
  14: "text/html",
  15: "application/x-jboss-marshalling",
  17: "application/unknown",
};

/** Types without parameters, shared, so that the common frame allocates none. */
const PREDEFINED: ReadonlyMap<number, MediaType> = new Map(
  Object.entries(NAMES).map(([id, name]) => [Number(id), { id: Number(id), name, params: [] }]),
);

const BY_NAME: ReadonlyMap<string, MediaType> = new Map(
  [...PREDEFINED.values()].map((type) => [type.name, type]),
);

/** The media type of that name, by its predefined number where it has one. */
export function mediaTypeOf(name: string): MediaType {
  return BY_NAME.get(name) ?? { id: undefined, name, params: [] };
}

/** Stored as it came: the type of caches that hold plain bytes. */
export const OCTET_STREAM = mediaTypeOf("application/octet-stream");

/** The type of Keycloak's caches. */
export const PROTOSTREAM = mediaTypeOf("application/x-protostream");

/** Java objects: a cache that stores them transcodes always, and cannot be replicated byte for byte. */
export const JAVA_OBJECT = mediaTypeOf("application/x-java-object");

/** Reads form 00 (none), 01 (predefined number) or 02 (by name). */
export function readMediaType(r: Reader): MediaType | undefined {
  const form = r.u8();
  if (form === 0) return undefined;
  if (form === 1) {
    const id = r.vInt();
    const params = readParams(r);
    const known = PREDEFINED.get(id);
    if (known !== undefined && params.length === 0) return known;
    return { id, name: known?.name ?? "", params };
  }
  if (form !== 2) r.malformed(`a media type of form 0, 1 or 2, found ${form}`);
  return { id: undefined, name: r.string(), params: readParams(r) };
}

/** The inverse of {@link readMediaType}. */
export function writeMediaType(w: Writer, type: MediaType | undefined): void {
  if (type === undefined) {
    w.u8(0);
    return;
  }
  if (type.id === undefined) {
    w.u8(2);
    w.string(type.name);
  } else {
    w.u8(1);
    w.vInt(type.id);
  }
  w.vInt(type.params.length);
  for (const [name, value] of type.params) {
    w.string(name);
    w.string(value);
  }
}

const NO_PARAMS: MediaType["params"] = [];

function readParams(r: Reader): MediaType["params"] {
  const count = r.vInt();
  return count === 0 ? NO_PARAMS : r.list(count, (it) => [it.string(), it.string()] as const);
}
