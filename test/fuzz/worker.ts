import { parentPort, workerData } from "node:worker_threads";
import { Coverage } from "./coverage.ts";
import { Fuzzer, limitBuffers } from "./fuzzer.ts";
import type { FromWorker, ToWorker } from "./run.ts";
import { TARGETS } from "./targets.ts";

// One target, in a thread with a heap of its own. The input at work lies in shared memory: who watches knows it also when
// this thread hangs or is ended.

const { name, inputs, seed, seeds, words, isCovered, shared } = workerData as ToWorker;
const target = TARGETS.find((candidate) => candidate.name === name);
if (target === undefined || parentPort === null) throw new Error(`no target ${name}`);
const port = parentPort;
const state = new Int32Array(shared, 0, 2);
const bytes = new Uint8Array(shared, state.byteLength);

const coverage = isCovered ? new Coverage(target.covers) : undefined;
const fuzzer = new Fuzzer(target, {
  seed,
  coverage,
  words: words.map((word) => Buffer.from(word)),
  watch: (input) => {
    bytes.set(input);
    state[1] = input.length;
    state[0] = (state[0] ?? 0) + 1;
  },
});
limitBuffers();
const tell = (isEnd: boolean): void => {
  const findings = fuzzer.findings.splice(0).map(({ input, error }) => ({
    input: new Uint8Array(input),
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }));
  port.postMessage({ stats: fuzzer.stats, findings, isEnd } satisfies FromWorker);
};
fuzzer.seed(seeds.map((input) => Buffer.from(input)));
const step = Math.max(1_000, Math.ceil(inputs / 200));
for (let left = inputs; left > 0; left -= step) {
  fuzzer.run(Math.min(step, left));
  tell(false);
}
tell(true);
