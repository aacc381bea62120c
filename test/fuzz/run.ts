import { setInterval } from "node:timers";
import { Worker } from "node:worker_threads";
import type { FuzzStats } from "./fuzzer.ts";
import { INPUT_BYTES_MAX } from "./mutator.ts";
import { seedsOf } from "./seeds.ts";
import { TARGETS } from "./targets.ts";

// `npm run fuzz -- [--inputs N] [--target codec|wire|file] [--seed S] [--replay HEX]`: N mutated inputs (1,000,000 by
// default), shared among the targets or all for one. An input that makes a target throw anything but its refusal, hang, or
// take more memory than any may is a finding, printed with the command that replays it; the exit code is then 1. 10,000,000
// inputs took 14 minutes on a core that others used too.

/** What a worker is given. */
export interface ToWorker {
  readonly name: string;
  readonly inputs: number;
  readonly seed: number;
  readonly seeds: readonly Uint8Array[];
  readonly words: readonly Uint8Array[];
  readonly isCovered: boolean;
  /** Two numbers, inputs begun and the length of the one at work, then its bytes. */
  readonly shared: SharedArrayBuffer;
}

/** What a worker tells now and then, and at its end. */
export interface FromWorker {
  readonly stats: FuzzStats;
  readonly findings: ReadonlyArray<{ readonly input: Uint8Array; readonly error: string }>;
  readonly isEnd: boolean;
}

/** An input at work for this long hangs: a file of 4 KiB takes a few ms. */
const HANG_MS = 10_000;
const HEAP_MB_MAX = 192;
/** A file takes a hundred times as long as a frame. */
const SHARES: Readonly<Record<string, number>> = { codec: 0.49, wire: 0.5, file: 0.01 };

const args = process.argv.slice(2);

function option(name: string): string | undefined {
  const i = args.indexOf(`--${name}`);
  return i < 0 ? undefined : (args[i + 1] ?? "");
}

/** Runs one target; returns how many inputs ran, and its findings. */
async function fuzz(
  name: string,
  inputs: number,
  seed: number,
): Promise<{ ran: number; found: number }> {
  const { inputs: seeds, words } = seedsOf(name, seed);
  const shared = new SharedArrayBuffer(8 + INPUT_BYTES_MAX);
  const isCovered = !args.includes("--no-coverage");
  const workerData: ToWorker = { name, inputs, seed, seeds, words, isCovered, shared };
  const worker = new Worker(new URL("./worker.js", import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX, stackSizeMb: 4 },
  });
  const atWork = (): Buffer => {
    const [, length = 0] = new Int32Array(shared, 0, 2);
    return Buffer.from(new Uint8Array(shared, 8, length).slice());
  };
  const started = performance.now();
  let stats: FuzzStats | undefined;
  let found = 0;
  const report = (input: Uint8Array, error: string): void => {
    found += 1;
    console.log(`FOUND in ${name}: ${error}`);
    const hex = Buffer.from(input).toString("hex");
    console.log(`  replay: npm run fuzz -- --target ${name} --replay ${hex}`);
  };
  await new Promise<void>((resolve) => {
    let [begun, since] = [-1, performance.now()];
    const watching = setInterval(() => {
      const [now = 0] = new Int32Array(shared, 0, 1);
      if (now !== begun) [begun, since] = [now, performance.now()];
      else if (performance.now() - since > HANG_MS) {
        report(atWork(), `nothing came of it for ${HANG_MS} ms`);
        void worker.terminate();
      }
    }, 500);
    worker.on("message", (told: FromWorker) => {
      stats = told.stats;
      for (const { input, error } of told.findings) report(input, error);
    });
    worker.on("error", (error) => report(atWork(), String(error)));
    worker.on("exit", () => {
      clearInterval(watching);
      resolve();
    });
  });
  const seconds = (performance.now() - started) / 1000;
  const { inputs: ran = 0, corpus = 0, characters = 0 } = stats ?? {};
  const rate = Math.round(ran / seconds);
  console.log(
    `${name}: ${ran} inputs in ${seconds.toFixed(1)} s (${rate}/s), ${corpus} in the corpus, ` +
      `${characters} characters of code reached, ${found} findings`,
  );
  return { ran, found };
}

function replay(name: string, hex: string): number {
  const target = TARGETS.find((candidate) => candidate.name === name);
  try {
    target?.run(Buffer.from(hex, "hex"));
  } catch (error) {
    console.log(error);
    return 1;
  }
  console.log("nothing found");
  return 0;
}

const only = option("target");
const total = Number(option("inputs") ?? 1_000_000);
const start = Number(option("seed") ?? 1);
const targets = TARGETS.filter(({ name }) => only === undefined || name === only);
if (targets.length === 0 || !Number.isSafeInteger(total) || total < 1) {
  console.error(`expected --inputs N and --target ${TARGETS.map(({ name }) => name).join("|")}`);
  process.exitCode = 2;
} else {
  const input = option("replay");
  let found = 0;
  if (input !== undefined && only !== undefined) found = replay(only, input);
  else {
    let ran = 0;
    for (const { name } of targets) {
      const share = only === undefined ? (SHARES[name] ?? 0) : 1;
      const done = await fuzz(name, Math.ceil(total * share), start);
      ran += done.ran;
      found += done.found;
    }
    console.log(`${ran} inputs, ${found} findings`);
  }
  process.exitCode = found > 0 ? 1 : 0;
}
