#!/usr/bin/env node
// Where every npm script starts: sets up what its task needs, then runs it. Plain Node without dependencies, because it
// is what installs them. `node deploy/start.mjs TASK [args...]`; talk goes to stderr, a task's result to stdout.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { build } from "./start/build.mjs";
import { chromium } from "./start/chromium.mjs";
import { Missing, ROOT, run, say } from "./start/ground.mjs";
import {
  drillCheckerClassPath,
  infinispanClassPath,
  java,
  javaClientClassPath,
  keycloak,
  keycloakPersistentSessions,
} from "./start/maven.mjs";
import { natsServer } from "./start/nats-server.mjs";
import { postgres } from "./start/postgres.mjs";
import { check, live, test } from "./start/tiers.mjs";
import { toxiproxy } from "./start/toxiproxy.mjs";

/** Builds `project`, then runs one of its compiled files with this process's stdout; its exit code is the task's. */
async function compiled(project, file, args, env = {}) {
  if (!(await build(project))) return 1;
  const path = join(ROOT, file);
  if (!existsSync(path)) {
    say(`${file}: not available in this version`);
    return 2;
  }
  return (await run(process.execPath, [path, ...args], { stdout: "inherit", env })).code;
}

const isthmus = (args, env) => compiled("deploy", "deploy/bin/isthmus.mjs", args, env);
const withNats = async () => ({ NATS_SERVER: await natsServer() });

/** Prints where a thing that the lab or a test needs is, after fetching it if need be. */
async function which([thing]) {
  const things = {
    "nats-server": natsServer,
    java,
    infinispan: infinispanClassPath,
    "java-client": javaClientClassPath,
    "drill-checker": drillCheckerClassPath,
    toxiproxy,
    keycloak,
    "keycloak-persistent-sessions": keycloakPersistentSessions,
    postgres,
    chromium,
  };
  const find = things[thing];
  if (find === undefined) {
    say(`which: expected one of ${Object.keys(things).join(", ")}, got ${thing ?? "nothing"}`);
    return 2;
  }
  process.stdout.write(`${await find()}\n`);
  return 0;
}

const tasks = {
  isthmus: (args) => isthmus(args),
  demo: async (args) => isthmus(["demo", ...args], await withNats()),
  drill: async (args) => isthmus(["drill", "run", ...args], await withNats()),
  sim: (args) => compiled("test", "dist/test/sim/run.js", args),
  fuzz: (args) => compiled("test", "dist/test/fuzz/run.js", args),
  bench: async (args) => compiled("test", "dist/test/bench/run.js", args, await withNats()),
  check,
  live,
  test,
  which,
};

const [task, ...args] = process.argv.slice(2);
const start = Object.hasOwn(tasks, task ?? "") ? tasks[task] : undefined;
if (start === undefined) {
  say(`usage: node deploy/start.mjs ${Object.keys(tasks).join("|")} [args...]`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await start(args);
  } catch (error) {
    say(error instanceof Missing ? error.message : error.stack);
    process.exitCode = error instanceof Missing ? 3 : 1;
  }
}
