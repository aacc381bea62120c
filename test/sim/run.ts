import { Counts } from "./world/counts.ts";
import { drawPlan, type Step } from "./world/plan.ts";
import { drawProfile, FAULTS, type Fault, type Profile, SWITCHED_OFF } from "./world/profile.ts";
import { RARE } from "./world/rare-paths.ts";
import { shrink } from "./world/shrink.ts";
import { World } from "./world/sim-world.ts";

// `npm run sim -- --seeds N --seed S [--only FAULT,...] [--without FAULT,...] [--steps 3,5-9] [--trace [TEXT]] [--shrink]`: N worlds from seed S
// on. Prints each failing seed with the command that replays it, then how often each fault and rare path happened, and the
// totals. `--only`: these faults, whatever the seed draws. `--steps`: only these steps of the plan. `--shrink`: finds a small
// part of faults and steps that still fails.

const args = process.argv.slice(2);

function option(name: string): string | undefined {
  const i = args.indexOf(`--${name}`);
  return i < 0 ? undefined : (args[i + 1] ?? "");
}

const first = Number(option("seed") ?? 1);
const seeds = Number(option("seeds") ?? (option("seed") === undefined ? 100 : 1));
const only = option("only");
const traced = option("trace");
const kinds = only === undefined ? undefined : faultsOf(only);
const without = faultsOf(option("without") ?? "");

function faultsOf(text: string): Set<Fault> {
  const named = text.split(",").filter(Boolean) as Fault[];
  const unknown = named.find((kind) => !FAULTS.includes(kind));
  if (unknown === undefined) return new Set(named);
  console.error(`${unknown} is none of ${FAULTS.join(", ")}`);
  process.exit(2);
}

/** The steps that `--steps` names: `3,5-9`. */
function chosen(plan: readonly Step[]): readonly Step[] {
  const text = option("steps");
  if (text === undefined) return plan;
  const ids = new Set<number>();
  for (const part of text.split(",").filter(Boolean)) {
    const [from = 0, to = from] = part.split("-").map(Number);
    for (let id = from; id <= to; id++) ids.add(id);
  }
  return plan.filter(({ id }) => ids.has(id));
}

function tell(profile: Profile, failure: Error): void {
  const { seed, sites, caches, faults } = profile;
  console.log(`seed ${seed} FAILED: ${failure.message}`);
  if (failure.constructor === Error || failure instanceof TypeError) console.log(failure.stack);
  const names = caches.map(({ name, conflict, kind }) => `${name} ${kind} ${conflict}`).join(", ");
  console.log(
    `  world: ${sites.join(", ")}; ${names}; faults: ${[...faults].join(", ") || "none"}`,
  );
  const limits = ["only", "without", "steps"].map((name) => {
    const text = option(name);
    return text === undefined ? "" : ` --${name} ${text}`;
  });
  console.log(`  replay: npm run sim -- --seed ${seed}${limits.join("")} --trace ""`);
}

const counts = new Counts();
let failed = 0;
let steps = 0;
const started = process.cpuUsage();
for (let seed = first; seed < first + seeds; seed++) {
  const drawn = drawProfile(seed, kinds);
  const profile = { ...drawn, faults: new Set([...drawn.faults].filter((f) => !without.has(f))) };
  const plan = chosen(drawPlan(drawn)).filter(({ act }) => act === "write" || !without.has(act));
  const outcome = await new World(profile, plan, { isTraced: traced !== undefined }).run();
  counts.addAll(outcome.counts);
  steps += outcome.steps;
  if (traced !== undefined) console.log(outcome.trace.lines(traced).join("\n"));
  if (outcome.failure === undefined) continue;
  failed += 1;
  tell(profile, outcome.failure);
  if (!args.includes("--shrink")) continue;
  const small = await shrink(profile, plan, (p, s) => new World(p, s).run());
  console.log(`  shrunk: ${small.failure.message}`);
  const limit = only === undefined ? "" : ` --only ${only}`;
  console.log(`  replay: ${small.command}${limit} --trace ""`);
}
const { user, system } = process.cpuUsage(started);
const seconds = (user + system) / 1e6;
if (option("counts") !== undefined || seeds > 1) {
  for (const [name, n] of counts.all()) {
    if (!name.startsWith("log: debug")) console.log(`${String(n).padStart(9)} ${name}`);
  }
  for (const [name, why] of Object.entries(SWITCHED_OFF))
    console.log(`switched off: ${name}: ${why}`);
}
/** So many seeds have seen everything. */
const SEEDS_ENOUGH = 300;
const unseen = RARE.filter((name) => counts.get(name) === 0);
const isUnseen = seeds >= SEEDS_ENOUGH && only === undefined && unseen.length > 0;
if (isUnseen) console.log(`never happened: ${unseen.join("; ")}`);
console.log(
  `${steps} steps in ${seconds.toFixed(1)} s of a core, ${(seeds / seconds).toFixed(1)} seeds/s`,
);
console.log(`${seeds - failed} seeds passed, ${failed} failed`);
process.exitCode = failed > 0 || isUnseen ? 1 : 0;
