import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LmdbLedger } from "../../../site-agent/ledger/lmdb-ledger.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { type Compiled, compiled } from "../../support/compiled.ts";

// Goal: what commit() promised is there after the process was killed, whole transactions only, and what sync() promised is
// there after a power cut. Method: a child process that says what it committed, killed at some moment; a power cut is stood
// in for by opening the file in its last flushed state, which is what LMDB does when the machine's boot id is another.

let child: Compiled;
let folder: string;
beforeAll(() => {
  child = compiled("test/support/ledger-child.ts");
  folder = mkdtempSync(join(tmpdir(), "isthmus-ledger-"));
});
afterAll(() => {
  child.remove();
  rmSync(folder, { recursive: true });
});

interface Count {
  written: number;
  rows: number;
  entries: number;
  whole: boolean;
}

function count(directory: string, env: NodeJS.ProcessEnv = {}): Count {
  const out = execFileSync(process.execPath, [child.path, directory, "count"], {
    env: { ...process.env, ...env },
  });
  return JSON.parse(out.toString()) as Count;
}

const ended = (of: ChildProcess) => new Promise((resolve) => of.once("close", resolve));

/** The code by which opening `directory` is refused, and the process id that the message names. */
async function refusal(directory: string): Promise<[string, string | undefined]> {
  try {
    await (await LmdbLedger.open(directory, "nyc", process.pid)).close();
    return ["none", undefined];
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
    return [error.code, /process id (\d+)/.exec(error.message)?.[1]];
  }
}

/** Runs the child until it has said `lines` lines, kills it, and returns all that it said. */
async function killedAfter(directory: string, lines: number): Promise<string[]> {
  const writer = spawn(process.execPath, [child.path, directory, "write"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said: string[] = [];
  const over = ended(writer);
  for await (const line of createInterface({ input: writer.stdout })) {
    said.push(line);
    if (said.length === lines) writer.kill("SIGKILL");
  }
  await over;
  return said;
}

describe("a ledger whose process was killed", () => {
  it.each([1, 7, 60, 200])("after %i commits holds each of them, whole", async (lines) => {
    const directory = join(folder, `killed-${lines}`);
    const said = await killedAfter(directory, lines);
    const { written, rows, entries, whole } = count(directory);
    expect(written).toBeGreaterThanOrEqual(Number.parseInt(said.at(-1) ?? "", 10));
    expect({ rows, entries, whole }).toEqual({ rows: written, entries: written, whole: true });
  });

  it("holds what was synced when it opens in its last flushed state", async () => {
    const directory = join(folder, "power-cut");
    const said = await killedAfter(directory, 137);
    const { written, rows, entries, whole } = count(directory, { LMDB_RESTORE: "safe" });
    expect(written).toBeGreaterThanOrEqual(said.filter((line) => line.endsWith("s")).length * 10);
    expect({ rows, entries, whole }).toEqual({ rows: written, entries: written, whole: true });
  });
});

describe("a ledger that a live process has open", () => {
  it.each(["short", "long-".repeat(30)])("cannot be opened by another: %s path", async (name) => {
    const directory = join(folder, name);
    const writer = spawn(process.execPath, [child.path, directory, "write"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const over = ended(writer);
    const lines = createInterface({ input: writer.stdout });
    await once(lines, "line");
    expect(await refusal(directory)).toEqual([ErrorCode.LedgerHeld, String(writer.pid)]);
    writer.kill("SIGKILL");
    await over;
    expect(await refusal(directory)).toEqual(["none", undefined]);
  });
});

describe("a ledger whose file cannot grow", () => {
  it("holds what it committed before, also if the failing write ended its process", () => {
    const directory = join(folder, "full");
    // A limit on the size of files, which no look at the free space foretells.
    const script = `ulimit -c 0 -f 4096; "$0" "$1" "$2" fill || true`;
    const out = execFileSync("bash", ["-c", script, process.execPath, child.path, directory], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const numbers = out.toString().match(/^\d+$/gm) ?? [];
    const committed = Number(numbers.at(-1));
    expect(committed).toBeGreaterThan(100);
    const { written, rows, entries, whole } = count(directory);
    expect(written).toBeGreaterThanOrEqual(committed);
    expect({ rows, entries, whole }).toEqual({ rows: written, entries: written, whole: true });
  });
});
