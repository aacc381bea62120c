import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LmdbLedger } from "../../../site-agent/ledger/lmdb-ledger.ts";
import { LmdbTables } from "../../../site-agent/ledger/lmdb-tables.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { Logger } from "../../../topology/ports.ts";
import { type Compiled, compiled } from "../../support/compiled.ts";

// Goal: what commit() promised is there after the process was killed, whole transactions only, and what sync() promised is
// there after a power cut. Method: a child process that says what it committed, killed at some moment; a power cut is stood
// in for by opening LMDB in its last flushed state, which is what it does when the machine's boot id is another, and by
// cutting off of the journal what was written after the last sync.

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

const segments = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.startsWith("journal"))
    .sort();

/** A logger that keeps what it is warned of. */
function listening(warned: object[]): Logger {
  const logger: Logger = {
    debug: () => {},
    info: () => {},
    warn: (fields) => warned.push(fields),
    error: () => {},
    child: () => logger,
  };
  return logger;
}

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
async function killedAfter(directory: string, lines: number, valueBytes = 300): Promise<string[]> {
  const task = [child.path, directory, "write", String(valueBytes)];
  const writer = spawn(process.execPath, task, { stdio: ["ignore", "pipe", "inherit"] });
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
  it.each([1, 7, 200, 1500])("after %i commits holds each of them, whole", async (lines) => {
    const directory = join(folder, `killed-${lines}`);
    const said = await killedAfter(directory, lines);
    const { written, rows, entries, whole } = count(directory);
    expect(written).toBeGreaterThanOrEqual(Number.parseInt(said.at(-1) ?? "", 10));
    expect({ rows, entries, whole }).toEqual({ rows: written, entries: written, whole: true });
  });

  it("holds each commit when LMDB has had none of them", async () => {
    const directory = join(folder, "journal-only");
    const said = await killedAfter(directory, 100);
    const tables = new LmdbTables(directory);
    expect([tables.contained(), tables.get("facts", "written")]).toEqual([0, undefined]);
    await tables.close();
    expect(segments(directory)).toHaveLength(1);
    const { written, rows, entries, whole } = count(directory);
    expect(written).toBeGreaterThanOrEqual(said.length);
    expect({ rows, entries, whole }).toEqual({ rows: written, entries: written, whole: true });
    // Counting closed it in order: LMDB has all.
    expect(segments(directory)).toEqual([]);
    expect(count(directory)).toEqual({ written, rows, entries, whole });
  });

  it("holds all when it opens in LMDB's last flushed state, parts of the journal removed", async () => {
    const directory = join(folder, "power-cut");
    const said = await killedAfter(directory, 400, 30_000);
    // 12 MB and more went through files of 4 MiB.
    expect(segments(directory)[0]).not.toBe("journal-00000000000001");
    const { written, rows, entries, whole } = count(directory, { LMDB_RESTORE: "safe" });
    expect(written).toBeGreaterThanOrEqual(said.length);
    expect({ rows, entries, whole }).toEqual({ rows: written, entries: written, whole: true });
  });

  it("holds what was synced when a power cut took all that was written later", async () => {
    const directory = join(folder, "unsynced");
    const ledger = await LmdbLedger.open(directory, "nyc", process.pid);
    for (let n = 1; n <= 15; n++) {
      ledger.setFact(`fact ${n}`, n);
      await ledger.commit();
    }
    await ledger.sync();
    const path = join(directory, segments(directory)[0] ?? "");
    const synced = statSync(path).size;
    for (let n = 16; n <= 20; n++) {
      ledger.setFact(`fact ${n}`, n);
      await ledger.commit();
    }
    const full = statSync(path).size;
    for (const end of [synced, synced + 1, full - 1]) {
      const cut = join(folder, `unsynced-${end}`);
      mkdirSync(cut);
      copyFileSync(join(directory, "data.mdb"), join(cut, "data.mdb"));
      writeFileSync(join(cut, basename(path)), readFileSync(path).subarray(0, end));
      const warned: object[] = [];
      const after = await LmdbLedger.open(cut, "nyc", process.pid, { logger: listening(warned) });
      const facts = [...after.facts("")].map(([, n]) => n as number).sort((a, b) => a - b);
      const last = end === full - 1 ? 19 : 15;
      expect(facts).toEqual(Array.from({ length: last }, (_, i) => i + 1));
      expect(warned).toHaveLength(end === synced ? 0 : 1);
      await after.close();
    }
    await ledger.close();
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
