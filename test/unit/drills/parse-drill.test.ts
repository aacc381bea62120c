import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { catalogue } from "../../../deploy/drills/catalogue.ts";
import { rehearsals, rehearsalsNamed } from "../../../deploy/drills/rehearsals.ts";
import { allSteps } from "../../../deploy/drills/drill.ts";
import { parseDrill } from "../../../deploy/drills/parse-drill.ts";
import { projectRoot } from "../../../deploy/lab/which.ts";
import { renderDiagnostic } from "../../../topology/config/diagnostic.ts";
import { runIsthmus } from "../cli/run-isthmus.ts";

const head = `apiVersion: isthmus-drill/v1
name: mine
summary: What it shows
`;
const tail = "after: {}\n";

/** The faults of a drill file, as people see them. */
function faults(source: string): string[] {
  const { value, diagnostics } = parseDrill(source, "mine.yaml");
  expect(value === undefined).toBe(diagnostics.length > 0);
  return diagnostics.map(renderDiagnostic);
}

describe("a drill file", () => {
  it("is steps of named actions, each with its own keys", () => {
    const { value } = parseDrill(
      `${head}load: { rate: 500, removes: 1 }
steps:
  - run: 5s
  - repeat:
      times: 50
      inSmoke: 5
      steps:
        - kill: { process: infinispan, at: lon, mayLose: 5s }
        - start: { process: infinispan, at: lon }
  - cut: lon-to-nyc
  - heal: all
  - expect: { lagBelow: 2s, gapAt: lon, within: 1m }
after: { equalWithin: 90s, rtoBelow: 30s }
`,
      "mine.yaml",
    );
    expect(value?.steps).toMatchObject([
      { action: "run", ms: 5_000 },
      {
        action: "repeat",
        times: 50,
        inSmoke: 5,
        steps: [
          { action: "kill", process: "infinispan", at: "lon", mayLoseMs: 5_000 },
          { action: "start", process: "infinispan", at: "lon" },
        ],
      },
      { action: "cut", way: "lon-to-nyc" },
      { action: "heal" },
      { action: "expect", expectation: { lagBelowMs: 2_000, gapAt: "lon", withinMs: 60_000 } },
    ]);
    expect(value).toMatchObject({
      load: { rate: 500, keys: 2_000, removes: 1 },
      after: { equalWithinMs: 90_000, rtoBelowMs: 30_000, recoveryBelowMs: undefined },
    });
  });

  it("may have its writers come through front doors, whole sites killed, and take so long that it is not of all", () => {
    const { value } = parseDrill(
      `${head}alone: true
frontDoor: { onTimeout: fail, timeout: 2s, at: [nyc] }
steps:
  - run-about: { from: 100ms, to: 2s }
  - kill-site: { at: nyc }
  - start-site: { at: nyc }
${tail}`,
      "mine.yaml",
    );
    expect(value).toMatchObject({
      alone: true,
      frontDoor: { onTimeout: "fail", timeoutMs: 2_000, at: ["nyc"] },
      steps: [
        { action: "run-about", fromMs: 100, toMs: 2_000 },
        { action: "kill-site", at: "nyc" },
        { action: "start-site", at: "nyc" },
      ],
    });
    const doors = "frontDoor: { onTimeout: never, at: [sfo] }\n";
    expect(faults(`${head}${doors}steps: [{ run: 5s }]\n${tail}`)).toEqual([
      expect.stringContaining("frontDoor.onTimeout: expected degrade|fail"),
    ]);
    expect(catalogue().find(({ name }) => name === "kill-site")?.alone).toBe(true);
    expect(rehearsalsNamed("all", ".").map(({ name }) => name)).not.toContain("kill-site");
    expect(rehearsalsNamed("kill-site", ".")).toHaveLength(1);
    expect(rehearsalsNamed("all", ".").map(({ name }) => name)).not.toContain("keycloak");
    expect(rehearsalsNamed("keycloak", ".")).toMatchObject([{ needs: ["keycloak"] }]);
  });

  it("may move writers from one front door to another, and ask verify", () => {
    const steps = `steps:
  - move-traffic: { of: nyc, to: lon, within: 5s }
  - verify: {}
`;
    const doors = (at: string) => `frontDoor: { onTimeout: degrade, at: [${at}] }\n`;
    const { value } = parseDrill(`${head}${doors("nyc, lon")}${steps}${tail}`, "mine.yaml");
    expect(value?.steps).toEqual([
      { action: "move-traffic", of: "nyc", to: "lon", withinMs: 5_000 },
      { action: "verify", withinMs: 30_000 },
    ]);
    expect(faults(`${head}${doors("nyc")}${steps}${tail}`)).toEqual([
      expect.stringContaining("traffic moves between front doors: name lon in frontDoor.at"),
    ]);
    expect(faults(`${head}${steps}${tail}`)).toEqual([
      expect.stringContaining("name nyc in frontDoor.at"),
    ]);
  });

  it("is for two sites or three, and names none of the others", () => {
    const steps = `steps:
  - expect: { refilled: sfo, within: 1m }
`;
    const { value } = parseDrill(`${head}sites: 3\n${steps}${tail}`, "mine.yaml");
    expect(value?.sites).toEqual(["nyc", "lon", "sfo"]);
    expect(value?.steps).toMatchObject([{ expectation: { refilled: "sfo", withinMs: 60_000 } }]);
    expect(faults(`${head}${steps}${tail}`)).toEqual([
      expect.stringContaining("a step names sfo, the drill's sites are nyc, lon"),
    ]);
  });

  it("has every fault reported at once, with its line and column", () => {
    expect(
      faults(`${head}group: smoke
steps:
  - kil: { process: site, at: nyc }
  - kill: { process: sites, at: nyc }
  - pause: { process: site, at: paris, for: 60 }
  - run: 5s
    heal: all
${tail}`),
    ).toEqual([
      expect.stringMatching(/^mine\.yaml:4:1 error IS1005 group: unknown key .*"groups"/),
      expect.stringMatching(/^mine\.yaml:6:5 error IS1005 steps\[0\]\.kil: .*"kill"/),
      expect.stringMatching(/^mine\.yaml:7:22 error IS1007 steps\[1\]\.kill\.process: .*"site"/),
      expect.stringMatching(
        /^mine\.yaml:8:33 error IS1007 steps\[2\]\.pause\.at: expected nyc\|lon/,
      ),
      expect.stringMatching(/^mine\.yaml:8:45 error IS1009 steps\[2\]\.pause\.for: .*"60ms"/),
      expect.stringMatching(/^mine\.yaml:9:5 error IS1008 steps\[3\]: expected one action/),
    ]);
  });

  it("may not excuse losses of anything but an Infinispan, nor expect nothing", () => {
    expect(
      faults(`${head}steps:
  - kill: { process: site, at: nyc, mayLose: 5s }
  - expect: { within: 5s }
${tail}`),
    ).toEqual([
      expect.stringContaining(
        "mine.yaml:5:46 error IS1017 steps[0].kill.mayLose: only an Infinisp",
      ),
      expect.stringContaining("mine.yaml:6:13 error IS1006 steps[1].expect: expected at least one"),
    ]);
  });
});

describe("the catalogue", () => {
  const drills = catalogue();

  it("holds drills whose names are their files' and which undo the faults that they make", () => {
    expect(drills.length).toBeGreaterThan(10);
    for (const { name, steps } of drills) {
      expect(existsSync(join(projectRoot(), "deploy", "drills", `${name}.yaml`)), name).toBe(true);
      const all = allSteps(steps);
      const [ended, begun] = [
        ["kill", "stop"],
        ["start", "skew-clock"],
      ].map((actions) => all.filter(({ action }) => actions.includes(action)).length);
      expect(begun, name).toBeGreaterThanOrEqual(ended ?? 0);
      const healed = all.findLastIndex(({ action }) => action === "heal");
      const harmed = all.findLastIndex(({ action }) =>
        ["cut", "delay", "slow", "flaky", "fill-disk"].includes(action),
      );
      expect(healed, name).toBeGreaterThanOrEqual(harmed);
    }
  });

  it("kills each kind of process, a site's at least 50 times", () => {
    const kills = drills.flatMap(({ steps }) =>
      steps.flatMap((step) =>
        step.action === "repeat"
          ? Array.from({ length: step.times }, () => step.steps).flat()
          : [step],
      ),
    );
    const count = (process: string): number =>
      kills.filter((step) => step.action === "kill" && step.process === process).length;
    expect(count("site")).toBeGreaterThanOrEqual(50);
    expect(count("nats")).toBeGreaterThan(0);
    expect(count("infinispan")).toBeGreaterThan(0);
  });

  it("has its short ones need nothing beyond a lab", () => {
    const short = rehearsalsNamed("smoke", "/");
    expect(short.map(({ name }) => name)).toContain("kill-site-process");
    expect(short.flatMap(({ needs }) => needs)).toEqual([]);
  });

  it("is what `drill list` shows", async () => {
    const { code, out } = await runIsthmus(["drill", "list", "--json"]);
    expect(code).toBe(0);
    const listed = JSON.parse(out) as { drills: { name: string; needs: string[] }[] };
    expect(listed.drills.map(({ name }) => name)).toEqual(rehearsals().map(({ name }) => name));
    expect(listed.drills.find(({ name }) => name === "cut-link")?.needs).toEqual(["toxiproxy"]);
  });

  it("names what it does not have, and the faults of a file", async () => {
    const unknown = await runIsthmus(["drill", "run", "kill-site-proces"]);
    expect(unknown).toMatchObject({ code: 1, out: "" });
    expect(unknown.err).toContain('IS4010 no drill is named "kill-site-proces" (did you mean');
    const faulty = await runIsthmus(["drill", "run", "a.yaml"], { "a.yaml": `${head}${tail}` });
    expect(faulty).toMatchObject({ code: 2, out: "" });
    expect(faulty.err).toContain('a.yaml:1:1 error IS1006 missing key "steps"');
    expect(await runIsthmus(["drill"])).toMatchObject({ code: 2 });
  });
});
