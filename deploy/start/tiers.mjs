// The test tiers behind `npm run check`, `npm run live` and `npm test`: each prints its time; the totals close the run.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { Missing, ROOT, bin, run, say } from "./ground.mjs";
import {
  drillCheckerClassPath,
  infinispanClassPath,
  java,
  javaClientClassPath,
  keycloak,
} from "./maven.mjs";
import { natsServer } from "./nats-server.mjs";
import { postgres } from "./postgres.mjs";

/** Live tests that want Keycloak and its database beside what all of them want. */
const KEYCLOAK_TESTS = "test/live/keycloak-*.test.ts";

const NOTHING = { passed: 0, failed: 0, skipped: 0 };

const sum = (a, b) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});

/** Runs a tier, prints `name: N passed, N failed in S s` on stdout, and returns its counts. */
async function timed(name, tier) {
  const started = performance.now();
  const counts = await tier();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${name}: ${phrase(counts)} in ${seconds} s\n`);
  return counts;
}

function phrase({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Prints the totals alone on the last line; returns the exit code. */
function close(counts) {
  process.stdout.write(`${phrase(counts)}\n`);
  return counts.failed > 0 ? 1 : 0;
}

/** One program that passes or fails as a whole. */
async function step(program, args) {
  const { code } = await run(bin(program), args);
  if (code !== 0) say(`FAILED ${program} ${args.join(" ")}`);
  return code === 0 ? { ...NOTHING, passed: 1 } : { ...NOTHING, failed: 1 };
}

/** Runs one vitest project and counts from its JSON report; a run that ends without one is a failure. */
async function vitest(project, args, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "isthmus-vitest-"));
  try {
    const report = join(folder, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const { code } = await run(
      bin("vitest"),
      ["run", "--project", project, ...reporters, ...args],
      { env },
    );
    if (!existsSync(report)) return { ...NOTHING, failed: 1 };
    const { testResults } = JSON.parse(readFileSync(report, "utf8"));
    const counts = { ...NOTHING };
    for (const file of testResults) {
      // A file that could not be loaded has no tests to count.
      if (file.status === "failed" && file.assertionResults.length === 0) counts.failed += 1;
      for (const { status } of file.assertionResults) {
        counts[{ passed: "passed", failed: "failed" }[status] ?? "skipped"] += 1;
      }
    }
    // Errors outside any test (an unhandled rejection, a hook) fail the run without failing a test.
    if (code !== 0 && counts.failed === 0) counts.failed += 1;
    return counts;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** True when the folder holds a test file, at any depth. */
export function hasTests(folder) {
  const path = join(ROOT, folder);
  return (
    existsSync(path) &&
    readdirSync(path, { recursive: true }).some((name) => name.endsWith(".test.ts"))
  );
}

/** What a live tier needs: `undefined` when all is there, else counts to return for a tier that could not run. */
async function provision(tier, needs) {
  try {
    const env = {};
    for (const need of needs) Object.assign(env, await need());
    return { env };
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    process.stdout.write(`SKIPPED ${tier}: ${error.message}\n`);
    const required = (process.env.ISTHMUS_REQUIRE ?? "").split(",");
    return { counts: { ...NOTHING, [required.includes(error.what) ? "failed" : "skipped"]: 1 } };
  }
}

const checkTier = async () => {
  if (!(await build())) return { ...NOTHING, failed: 1 };
  let counts = { ...NOTHING, passed: 1 };
  counts = sum(counts, await step("oxlint", ["--quiet"]));
  counts = sum(counts, await step("oxfmt", ["--check"]));
  counts = sum(counts, await step("knip", []));
  return sum(counts, await vitest("unit", []));
};

const liveTier = async (args) => {
  const { counts, env } = await provision("live", [
    async () => ({ NATS_SERVER: await natsServer() }),
    async () => void (await java()),
    async () => void (await infinispanClassPath()),
    async () => void (await javaClientClassPath()),
  ]);
  if (counts !== undefined) return counts;
  const { counts: without } = await provision("live, Keycloak", [
    async () => void (await postgres()),
    async () => void (await keycloak()),
  ]);
  if (without === undefined) return vitest("live", args, env);
  return sum(without, await vitest("live", [...args, "--exclude", KEYCLOAK_TESTS], env));
};

/** The short drills: a lab of their own each, faults under load. Counts drills. */
const drillTier = async () => {
  const { counts, env } = await provision("drills", [
    async () => ({ NATS_SERVER: await natsServer() }),
    async () => void (await java()),
    async () => void (await infinispanClassPath()),
    async () => void (await drillCheckerClassPath()),
  ]);
  if (counts !== undefined) return counts;
  const program = join(ROOT, "deploy", "bin", "isthmus.mjs");
  const args = [program, "drill", "run", "smoke", "--json"];
  const { code, stdout } = await run(process.execPath, args, { stdout: "collect", env });
  const total = { ...NOTHING };
  for (const { name, outcome, checks, why } of stdout === "" ? [] : JSON.parse(stdout).drills) {
    total[outcome] += 1;
    if (outcome === "passed") continue;
    const failed = checks.filter(({ passed }) => !passed).map((c) => `${c.name}: ${c.detail}`);
    say(`${outcome.toUpperCase()} drill ${name}: ${why ?? failed.join("; ")}`);
  }
  if (code !== 0 && total.failed === 0) total.failed += 1;
  return total;
};

/** Build, lint, format, unused code, unit tests. */
export async function check() {
  return close(await timed("check", checkTier));
}

/** The tests against real servers; `args` go to vitest. */
export async function live(args) {
  await build();
  return close(await timed("live", () => liveTier(args)));
}

/** Every tier that a change must pass. */
export async function test() {
  let counts = await timed("check", checkTier);
  if (hasTests("test/sim")) counts = sum(counts, await timed("sim", () => vitest("sim", [])));
  if (hasTests("test/live")) counts = sum(counts, await timed("live", () => liveTier([])));
  counts = sum(counts, await timed("drills", drillTier));
  return close(counts);
}
