import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TOPICS, isTriedWith } from "../../../deploy/drills/keycloak/rows.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../../deploy/docs/keycloak.md"), "utf8");

/** Numbers of the scenarios that Keycloak's own tests for two sites have; those between were merged into others when they were collected. */
const SCENARIOS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 18, 19, 20, 21, 22, 23, 25, 26, 28, 29, 30, 31, 33,
  35, 36, 37, 38, 40, 41, 42, 43, 44, 46, 47, 48,
];

const rows = TOPICS.flatMap((each) => each.rows);

/** The cells of the tables below a heading, row by row, without the heads. */
function tableOf(heading: string): string[][] {
  const [, after = ""] = PAGE.split(`\n${heading}\n`);
  const [section = ""] = after.split(/\n#+ /);
  const lines = section.split("\n").filter((line) => line.startsWith("| "));
  return lines.slice(1).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const numbersIn = (cell = ""): number[] => (cell.match(/\d+/g) ?? []).map(Number);

describe("the page about Keycloak", () => {
  it("has a line for each row of the drill, in its order, with its scenarios, and results where it is tried", () => {
    const lines = tableOf("### Each row");
    expect(lines.map(([, name]) => name)).toEqual(rows.map(({ name }) => name));
    for (const [i, [, name, scenarios, inInfinispan = "", inDatabase = ""]] of lines.entries()) {
      const row = rows[i];
      if (row === undefined) continue;
      expect(numbersIn(scenarios), name).toEqual(row.scenarios);
      const shown = (sessions: "infinispan" | "database") =>
        isTriedWith(row, sessions) ? /^(passed|failed), \d+\.\d s$/ : /^-$/;
      expect(inInfinispan, name).toMatch(shown("infinispan"));
      expect(inDatabase, name).toMatch(shown("database"));
    }
  });

  it("has a row, or a reason, for every scenario", () => {
    const tried = new Set(rows.flatMap(({ scenarios }) => scenarios));
    const reasons = tableOf("### What is not tried");
    const named = reasons.flatMap(([numbers]) => numbersIn(numbers));
    expect(SCENARIOS.filter((number) => !tried.has(number) && !named.includes(number))).toEqual([]);
    for (const number of [...tried, ...named]) expect(SCENARIOS).toContain(number);
    for (const [, , reason = ""] of reasons) expect(reason.length).toBeGreaterThan(40);
    expect(tried.size).toBeGreaterThanOrEqual(28);
  });
});

describe("the rows of the drill", () => {
  it("have a name each of its own", () => {
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
    expect(rows.length).toBeGreaterThanOrEqual(40);
  });

  it("have those last that stop or kill processes", () => {
    const first = rows.findIndex(({ harms }) => harms === true);
    expect(rows.slice(first).every(({ harms }) => harms === true)).toBe(true);
  });
});
