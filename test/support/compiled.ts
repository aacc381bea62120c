import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A TypeScript file of this tree as JavaScript that a process of its own can run. */
export interface Compiled {
  readonly path: string;
  remove(): void;
}

/** Compiles `file` (relative to the tree's root) and what it imports, as they are now, into a temporary folder. */
export function compiled(file: string): Compiled {
  const folder = mkdtempSync(join(tmpdir(), "isthmus-compiled-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  symlinkSync(join(root, "package.json"), join(folder, "package.json"));
  const flags =
    "--ignoreConfig --module nodenext --target es2023 --rewriteRelativeImportExtensions";
  const more = "--skipLibCheck --types node --noCheck";
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(
    process.execPath,
    [
      tsc,
      ...`${flags} ${more}`.split(" "),
      "--rootDir",
      root,
      "--outDir",
      folder,
      join(root, file),
    ],
    { cwd: root, stdio: "inherit" },
  );
  const path = join(folder, relative(root, join(root, file)).replace(/\.ts$/, ".js"));
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}
