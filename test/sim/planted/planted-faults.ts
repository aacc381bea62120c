import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { drawProfile, type Fault } from "../world/profile.ts";
import type { Outcome, World } from "../world/sim-world.ts";

/** A bug put into a copy of the source: one text of one file replaced by another. */
export interface PlantedFault {
  readonly what: string;
  readonly file: string;
  readonly text: string;
  readonly instead: string;
  /** The kinds of fault that bring it out; none: a calm world does. */
  readonly faults: readonly Fault[];
}

/** Bugs that somebody could well make; each breaks a promise that the checkers must notice. */
export const PLANTED: readonly PlantedFault[] = [
  {
    what: "an arriving version replaces the row without being joined",
    file: "topology/version/join.ts",
    text: "const survivors = (entry?.siblings ?? []).filter((s) => !covers(superseding, s.author, s.dot));",
    instead: "const survivors: Sibling[] = [];",
    faults: ["linkCut"],
  },
  {
    what: "only the winner is kept of concurrent versions",
    file: "site-agent/apply/applier.ts",
    text: "versions = withKeptValues(complete, keep);",
    instead:
      'const winners = complete.siblings.filter((s) => shows !== undefined && "dot" in shows && s.dot === shows.dot);\n    versions = withKeptValues({ context: complete.context, siblings: winners }, keep);',
    faults: ["linkCut"],
  },
  {
    what: "the position moves before the entries are committed",
    file: "gateway/receive/receiver.ts",
    text: "    const offsetMs = batch.header.offsets.get",
    instead:
      "    this.#parts.positions.set(this.origin, this.cache, { ...this.#parts.positions.get(this.origin, this.cache), seq: message.seq, incarnation: batch.header.incarnation });\n    const offsetMs = batch.header.offsets.get",
    faults: ["kill"],
  },
  {
    what: "an absence without a reason is a remove",
    file: "site-agent/tail/absences.ts",
    text: `if (cacheRestarted) return { verdict: "absent", reason: "the cache was restarted" };`,
    instead: `if (cacheRestarted) return { verdict: "removed", reason: "the cache was restarted" };`,
    faults: ["cacheRestart"],
  },
  {
    what: "an echo is published",
    file: "site-agent/tail/judge.ts",
    text: "if (held.token === undefined && equalState) return",
    instead: "if (held.token === undefined && equalState && seenBy < 0) return",
    faults: ["listenerLoss"],
  },
  {
    what: "what is captured says that its writer had seen nothing",
    file: "site-agent/local-changes.ts",
    text: "context: before?.context ?? floor,",
    instead: "context: floor,",
    faults: [],
  },
];

const FOLDERS = ["topology", "site-agent", "gateway", "deploy/site", "test/sim/world"];

/** A copy of the source, for planting faults. */
export class SourceCopy {
  readonly #root: string;

  /** `source`: the root of the tree that is copied. */
  constructor(source: string) {
    this.#root = mkdtempSync(join(tmpdir(), "isthmus-planted-"));
    for (const folder of FOLDERS) {
      cpSync(join(source, folder), join(this.#root, folder), { recursive: true });
    }
    for (const file of ["package.json", "tsconfig.base.json"]) {
      cpSync(join(source, file), join(this.#root, file));
    }
    const modules = join(source, "node_modules");
    if (existsSync(modules)) symlinkSync(modules, join(this.#root, "node_modules"));
  }

  plant({ file, text, instead }: PlantedFault): void {
    const path = join(this.#root, file);
    const code = readFileSync(path, "utf8");
    if (code.split(text).length !== 2) {
      throw new Error(`${file} no longer has exactly one ${JSON.stringify(text)}: plant it anew`);
    }
    writeFileSync(path, code.replace(text, instead));
  }

  /** Runs one world of the copy. */
  async run(seed: number, faults: readonly Fault[]): Promise<Outcome> {
    const load = async (file: string): Promise<unknown> =>
      import(/* @vite-ignore */ pathToFileURL(join(this.#root, file)).href);
    const world = (await load("test/sim/world/sim-world.ts")) as { World: typeof World };
    return new world.World(drawProfile(seed, new Set(faults))).run();
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}
