import { resolve } from "node:path";
import { isAlias, isMap, isScalar, isSeq } from "yaml";
import type { Document, LineCounter, Node, Pair } from "yaml";
import type { ErrorCode } from "../errors.ts";
import type { SiteName } from "../names.ts";
import { PRESETS } from "./config.ts";
import type { Preset } from "./config.ts";
import type { Diagnostic } from "./diagnostic.ts";

/** One value in the file: its node, and the way to it. */
export interface Place {
  /** null: the key is there, but nothing behind it. */
  readonly node: Node | null;
  readonly path: string;
  /** Where a fault of this value is shown, in characters from the file's start. */
  readonly offset: number;
}

/** An address that something listens on or connects to; see unique-values.ts. */
export interface AddressUse {
  readonly place: Place;
  /** `host:port`, lower case. */
  readonly address: string;
  /** True where several uses at one site may share it: a connection's target, not a listener. */
  readonly shared: boolean;
}

/** What one pass over the file knows and finds: the readers' only state. */
export class FileReading {
  readonly diagnostics: Diagnostic[] = [];
  readonly addresses: AddressUse[] = [];
  /** Names under `sites`, also of sites that have faults. */
  readonly siteNames: readonly SiteName[];
  readonly sitesWithoutFrontDoor: readonly SiteName[];
  /** The file's preset; none if it names one that does not exist. */
  readonly preset: Preset;
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #document: Document;
  readonly #directory: string | undefined;

  constructor(file: string, document: Document, lines: LineCounter, directory: string | undefined) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
    this.#directory = directory;
    // What readers elsewhere in the file refer to is looked up before anything is read.
    const named = this.child(this.top(), "preset")?.node;
    this.preset = PRESETS.find((name) => isScalar(named) && named.value === name) ?? "none";
    const sites = this.child(this.top(), "sites");
    const bodies = [...((sites && this.entries(sites)) ?? [])];
    this.siteNames = bodies.map(([name]) => name);
    this.sitesWithoutFrontDoor = bodies
      .filter(([, { value }]) => this.child(value, "frontDoor") === undefined)
      .map(([name]) => name);
  }

  /** The document as a place. */
  top(): Place {
    return { node: this.#resolve(this.#document.contents), path: "", offset: 0 };
  }

  /** Notes an error at a place. */
  error(place: Place, code: ErrorCode, message: string): void {
    this.#note("error", place.offset, place.path, code, message);
  }

  /** Notes something that is valid but surely not meant. */
  warning(place: Place, code: ErrorCode, message: string): void {
    this.#note("warning", place.offset, place.path, code, message);
  }

  /** The line of a place, from 1. */
  lineOf(place: Place): number {
    return this.#lines.linePos(place.offset).line;
  }

  /** A path of the file, made absolute where the file's directory is known. */
  resolvePath(path: string): string {
    return this.#directory === undefined ? path : resolve(this.#directory, path);
  }

  /** The keys of a mapping with their values, the first of doubles; undefined if the node is no mapping. */
  entries(place: Place): Map<string, Entry> | undefined {
    if (!isMap(place.node)) return undefined;
    const entries = new Map<string, Entry>();
    for (const pair of place.node.items as Pair<Node, Node | null>[]) {
      const key = keyText(pair.key);
      if (entries.has(key)) continue;
      const path = place.path === "" ? key : `${place.path}.${key}`;
      const keyOffset = pair.key.range?.[0] ?? place.offset;
      // An empty value has a range of no width behind the colon, perhaps on a later line: the key is the better place.
      const written = pair.value !== null && !isEmpty(pair.value);
      const offset = written ? (pair.value?.range?.[0] ?? keyOffset) : keyOffset;
      const node = written ? this.#resolve(pair.value) : null;
      entries.set(key, {
        key: { node: pair.key, path, offset: keyOffset },
        value: { node, path, offset },
      });
    }
    return entries;
  }

  /** The value behind a key of a mapping; undefined if there is none. */
  child(place: Place, key: string): Place | undefined {
    return this.entries(place)?.get(key)?.value;
  }

  /** The items of a list; undefined if the node is no list. */
  items(place: Place): Place[] | undefined {
    if (!isSeq(place.node)) return undefined;
    return (place.node.items as (Node | null)[]).map((item, i) => ({
      node: item === null || isEmpty(item) ? null : this.#resolve(item),
      path: `${place.path}[${i}]`,
      offset: item?.range?.[0] ?? place.offset,
    }));
  }

  #resolve(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.#document) ?? null) : node;
  }

  #note(
    severity: Diagnostic["severity"],
    offset: number,
    path: string,
    code: ErrorCode,
    message: string,
  ): void {
    const { line, col } = this.#lines.linePos(offset);
    this.diagnostics.push({ file: this.#file, line, col, severity, code, path, message });
  }
}

/** A key and its value, each with its own place. */
export interface Entry {
  readonly key: Place;
  readonly value: Place;
}

/** A key as it is written: `1:` is the name "1". */
function keyText(key: Node): string {
  if (!isScalar(key)) return String(key);
  return key.source ?? String(key.value);
}

function isEmpty(node: Node): boolean {
  return isScalar(node) && node.value === null && (node.source ?? "") === "";
}
