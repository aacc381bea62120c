import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../deploy/cli/main.ts";

/** Runs one command line in a folder that holds only `files`; the folder's name stands as FOLDER in what comes back. */
export async function runIsthmus(
  argv: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<{ code: number; out: string; err: string }> {
  const folder = mkdtempSync(join(tmpdir(), "isthmus-cli-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const written = { out: "", err: "" };
    const code = await main(argv, {
      stdout: { write: (text) => (written.out += text) },
      stderr: { write: (text) => (written.err += text) },
      cwd: folder,
      version: "1.2.3",
    });
    return {
      code,
      out: written.out.replaceAll(folder, "FOLDER"),
      err: written.err.replaceAll(folder, "FOLDER"),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A sound file of two sites; `rest` comes behind the sites. */
export const twoSites = (rest = ""): string => `apiVersion: isthmus/v1
sites:
  nyc:
    cache: { kind: embedded }
    nats:
      servers: ["nats://127.0.0.1:4222"]
      leaf: { listen: "127.0.0.1:7422", advertise: "nats.nyc.example:7422" }
  lon:
    cache: { kind: embedded }
    nats: { servers: ["nats://127.0.0.1:14222"] }
${rest}`;
