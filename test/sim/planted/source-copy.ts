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
import { drawProfile, type Profile } from "../world/profile.ts";
import type { Outcome, World } from "../world/sim-world.ts";
import type { PlantedFault } from "./planted-faults.ts";

const FOLDERS = [
  "topology",
  "site-agent",
  "gateway",
  "deploy/site",
  "deploy/operator",
  "test/sim/world",
];

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
    const found = [...code.matchAll(patternOf(text))];
    const [only] = found;
    if (only === undefined || found.length > 1) {
      throw new Error(`${file} has ${found.length} times ${JSON.stringify(text)}: plant it anew`);
    }
    const end = only.index + only[0].length;
    writeFileSync(path, code.slice(0, only.index) + instead + code.slice(end));
  }

  /** Runs one world of the copy. */
  async run(profile: Profile): Promise<Outcome> {
    const file = pathToFileURL(join(this.#root, "test/sim/world/sim-world.ts")).href;
    const copy = (await import(/* @vite-ignore */ file)) as { World: typeof World };
    return new copy.World(profile).run();
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Any white space wherever the text has some, and after brackets, so that formatting does not matter. */
function patternOf(text: string): RegExp {
  const escaped = text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const spaced = escaped.replaceAll(/\s+/g, String.raw`\s+`);
  return new RegExp(spaced.replaceAll(String.raw`\(`, String.raw`\(\s*`), "g");
}

/** The world in which a planted fault is looked for. */
export function worldOf({ faults, kind, door }: PlantedFault, seed: number): Profile {
  const drawn = drawProfile(seed, new Set(faults));
  const caches =
    kind === undefined
      ? drawn.caches
      : [...drawn.caches.slice(0, 1), { name: "plans", conflict: "last-writer-wins", kind }];
  return { ...drawn, caches, door: door === undefined ? "none" : "fail" };
}
