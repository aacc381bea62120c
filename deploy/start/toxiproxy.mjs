// Finds toxiproxy, the proxy that the drills put into the link between sites, or builds it with Go.
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CACHE, Missing, onPath, run, say } from "./ground.mjs";

const VERSION = "2.12.0";
const HOME = join(CACHE, `toxiproxy-${VERSION}`);

/** The path of toxiproxy's server: $TOXIPROXY, PATH, the cache, Go. Throws Missing("toxiproxy"). */
export async function toxiproxy() {
  const named = process.env.TOXIPROXY;
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return named;
    throw new Missing("toxiproxy", `TOXIPROXY=${named}: no such file`);
  }
  const installed = onPath("toxiproxy-server");
  if (installed !== undefined) return installed;
  const cached = join(HOME, "toxiproxy-server");
  if (existsSync(cached)) return cached;
  const failed = await fromGo(cached);
  if (failed === undefined) return cached;
  throw new Missing(
    "toxiproxy",
    `no toxiproxy-server found (${failed}). Put one on PATH, name it in TOXIPROXY, or install Go`,
  );
}

async function fromGo(target) {
  const go = onPath("go");
  if (go === undefined) return "no go";
  say(`building toxiproxy ${VERSION}`);
  const scratch = `${HOME}.${process.pid}`;
  mkdirSync(scratch, { recursive: true });
  try {
    const module = `github.com/Shopify/toxiproxy/v2/cmd/server@v${VERSION}`;
    const got = await run(go, ["install", module], { quiet: true, env: { GOBIN: scratch } });
    if (got.code !== 0) return `go install: ${got.stdout.trim().split("\n").at(-1)}`;
    mkdirSync(HOME, { recursive: true });
    renameSync(join(scratch, "server"), target);
    return undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
