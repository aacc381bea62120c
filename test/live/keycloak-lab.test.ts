// Goal: two Keycloaks, each with its own Infinispan behind a front door, are one to whoever logs in: each step of a login, and
// what ends it, may come to either site.
// Method: the lab with Keycloak, and the rows of the drill `keycloak` as tests, but for those that stop parts of a site or wait for
// something to be over: they take minutes, and are the drill's own. The loss of a whole site is tried here too.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../deploy/cli/main.ts";
import { whyMissing } from "../../deploy/drills/keycloak/keycloak-drill.ts";
import { KeycloakLab } from "../../deploy/drills/keycloak/keycloak-lab.ts";
import type { Row } from "../../deploy/drills/keycloak/row.ts";
import { TOPICS, isTriedWith } from "../../deploy/drills/keycloak/rows.ts";
import { siteLossRows } from "../../deploy/drills/keycloak/rows/site-loss.ts";
import { databaseFolder } from "../../deploy/lab/database-folder.ts";
import type { LabProcess } from "../../deploy/lab/lab-state.ts";
import { processFacts } from "../../deploy/lab/process-table.ts";

/** The first run fetches and builds Keycloak. */
const START_MS_MAX = 900_000;

/** Its last row starts the site again, which is the drill's. */
const [SITE_KILLED] = siteLossRows;

interface Reported extends LabProcess {
  readonly state: string;
  readonly memoryBytes: number;
}

let cwd = "";
let started: KeycloakLab;

async function lab(...argv: string[]) {
  const written = { out: "", err: "" };
  const code = await main(["lab", ...argv], {
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    cwd,
    version: "0",
  });
  return { code, ...written };
}

const say = (line: string) => void process.stderr.write(`${line}\n`);

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "isthmus-keycloak-"));
  const { signal } = new AbortController();
  started = await KeycloakLab.start(join(cwd, "lab"), "infinispan", say, signal);
}, START_MS_MAX);

afterAll(async () => {
  const processes = started.parts();
  const { err } = await lab("down");
  for (const { pid, name } of processes)
    expect(await processFacts(pid), `${name}: ${err}`).toBeUndefined();
  expect(existsSync(join(cwd, "lab"))).toBe(false);
  expect(existsSync(databaseFolder(join(cwd, "lab")))).toBe(false);
  rmSync(cwd, { recursive: true, force: true });
}, 120_000);

describe("a lab with Keycloak", () => {
  it("shows every part, ready, in the order of its start, and says how to log in", async () => {
    const { out } = await lab("status", "--json");
    const { processes } = JSON.parse(out) as { processes: Reported[] };
    expect(processes.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "nats-server nyc ready",
      "nats-server lon ready",
      "PostgreSQL ready",
      "Infinispan nyc ready",
      "Infinispan lon ready",
      "isthmus nyc ready",
      "isthmus lon ready",
      "Keycloak nyc ready",
      "Keycloak lon ready",
    ]);
    for (const { name, memoryBytes } of processes)
      expect(memoryBytes, name).toBeGreaterThan(2 ** 20);
    const up = await lab("up", "--keycloak");
    expect(up.code).toBe(0);
    for (const { name } of started.sites) expect(up.err).toContain(`Keycloak ${name}: http://`);
    expect(up.err).toContain("administrator of both: admin, password admin");
    const otherwise = await lab("up", "--keycloak", "--persistent-sessions");
    expect(otherwise.code).toBe(1);
    expect(otherwise.err).toContain("runs already, with Keycloak's sessions in Infinispan");
  });
});

async function tries(row: Row): Promise<void> {
  const missing = await whyMissing(row);
  if (missing === undefined) {
    const said = await row.run(started);
    if (typeof said === "string") say(`${row.name}: ${said}`);
    return;
  }
  say(`SKIPPED ${row.name}: ${missing}`);
  const required = (process.env["ISTHMUS_REQUIRE"] ?? "").split(",");
  expect(required, missing).not.toContain(row.needs);
}

const isQuick = (row: Row): boolean =>
  row === SITE_KILLED || (row.harms !== true && row.waits !== true);

for (const { topic, rows } of TOPICS) {
  const tried = rows.filter((row) => isQuick(row) && isTriedWith(row, "infinispan"));
  if (tried.length > 0)
    describe(`Keycloak at two sites, ${topic}`, () => {
      for (const row of tried) it(row.name, () => tries(row));
    });
}
