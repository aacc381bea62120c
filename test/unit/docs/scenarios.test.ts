import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const PAGE = readFileSync(join(ROOT, "test/live/scenarios.md"), "utf8");

/** The scenarios of four of its sections, by number; those between were merged into others when they were collected. */
const SECTIONS = [
  15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31, 32, 33, 43, 44, 45, 46, 48, 49,
  50, 51, 59, 60, 61, 63, 64, 66, 67, 68, 69, 70, 72, 73,
];

interface Named {
  readonly file: string;
  readonly title: string;
}

/** The tests that a page's tables name: `file`: title, one a line break. */
function namedTests(page: string): Named[] {
  const rows = page.split("\n").filter((line) => line.startsWith("| P"));
  return rows.flatMap((row) =>
    [...row.matchAll(/`([^`]+\.test\.ts)`: (.+?)(?=<br>| \|$)/g)].map(
      ([, file = "", title = ""]) => ({ file, title }),
    ),
  );
}

/** What is wrong with a named test; undefined: nothing. */
function fault({ file, title }: Named): string | undefined {
  const path = join(ROOT, file);
  if (!existsSync(path)) return `${file} does not exist`;
  const source = readFileSync(path, "utf8");
  const isThere = [`"${title}"`, `\`${title}\``].some((literal) => source.includes(literal));
  return isThere ? undefined : `${file} has no test ${JSON.stringify(title)}`;
}

describe("the table of scenarios", () => {
  it("names only tests that exist, by their titles", () => {
    expect(namedTests(PAGE).map(fault)).toEqual(namedTests(PAGE).map(() => undefined));
  });

  it("has a test for every row above those that do not apply, and each number once", () => {
    const [there = ""] = PAGE.split("## What does not apply");
    const rows = there.split("\n").filter((line) => line.startsWith("| P"));
    expect(rows.length).toBeGreaterThan(20);
    for (const row of rows) expect(namedTests(row), row).not.toEqual([]);
    const numbers = rows.flatMap((row) => row.split("|")[1]?.match(/P\d+/g) ?? []);
    expect(numbers).toEqual([...new Set(numbers)]);
  });

  it("has a test or a reason for every scenario of failure policies, offline handling, the sender and state transfer", () => {
    const [there = ""] = PAGE.split("## Not in this table yet");
    const rows = there.split("\n").filter((line) => line.startsWith("| P"));
    const numbers = rows.flatMap((row) => row.split("|")[1]?.match(/P\d+/g) ?? []);
    expect(numbers).toEqual([...new Set(numbers)]);
    const [, without = ""] = there.split("## What does not apply");
    for (const [, reason = ""] of without.matchAll(/^\| P\d+ \| (.*) \|$/gm))
      expect(reason.length).toBeGreaterThan(40);
    expect(SECTIONS.filter((number) => !numbers.includes(`P${number}`))).toEqual([]);
  });

  it("is found out when it names what is not there", () => {
    const row = "| P1 | x | `test/live/gone.test.ts`: a<br>`test/live/replication.test.ts`: b |";
    expect(namedTests(row).map(fault)).toEqual([
      "test/live/gone.test.ts does not exist",
      'test/live/replication.test.ts has no test "b"',
    ]);
  });
});
