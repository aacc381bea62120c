import { Counts } from "./world/counts.ts";
import { drawProfile, FAULTS, type Fault } from "./world/profile.ts";
import { World } from "./world/sim-world.ts";

// `npm run sim -- --seeds N --seed S [--only fault,fault] [--trace [TEXT]]`: N worlds from seed S on. Prints each failing
// seed with the command that replays it, then how often each fault and rare path happened, and the totals.

const args = process.argv.slice(2);

function option(name: string): string | undefined {
  const i = args.indexOf(`--${name}`);
  return i < 0 ? undefined : (args[i + 1] ?? "");
}

const first = Number(option("seed") ?? 1);
const seeds = Number(option("seeds") ?? (option("seed") === undefined ? 100 : 1));
const only = option("only");
const traced = option("trace");
const kinds = only === undefined ? undefined : new Set(only.split(",").filter(Boolean) as Fault[]);
for (const kind of kinds ?? []) {
  if (!FAULTS.includes(kind)) {
    console.error(`--only: ${kind} is none of ${FAULTS.join(", ")}`);
    process.exit(2);
  }
}

const counts = new Counts();
let failed = 0;
let steps = 0;
const started = performance.now();
for (let seed = first; seed < first + seeds; seed++) {
  const profile = drawProfile(seed, kinds);
  const outcome = await new World(profile).run();
  counts.addAll(outcome.counts);
  steps += outcome.steps;
  if (traced !== undefined) console.log(outcome.trace.lines(traced).join("\n"));
  if (outcome.failure === undefined) continue;
  failed += 1;
  const { sites, caches, faults } = profile;
  const names = caches.map((cache) => `${cache.name} ${cache.conflict}`).join(", ");
  console.log(`seed ${seed} FAILED: ${outcome.failure.message}`);
  if (outcome.failure.constructor === Error || outcome.failure instanceof TypeError) {
    console.log(outcome.failure.stack);
  }
  console.log(
    `  world: ${sites.join(", ")}; ${names}; faults: ${[...faults].join(", ") || "none"}`,
  );
  const limit = only === undefined ? "" : ` --only ${only}`;
  console.log(`  replay: npm run sim -- --seed ${seed}${limit} --trace ""`);
}
const seconds = (performance.now() - started) / 1000;
if (option("counts") !== undefined || seeds > 1) {
  for (const [name, n] of counts.all()) {
    if (!name.startsWith("log: debug")) console.log(`${String(n).padStart(9)} ${name}`);
  }
}
console.log(`${steps} steps in ${seconds.toFixed(1)} s`);
console.log(`${seeds - failed} seeds passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
