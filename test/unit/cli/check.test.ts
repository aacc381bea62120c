import { describe, expect, it } from "vitest";
import { runIsthmus, twoSites } from "./run-isthmus.ts";

const sound = { "isthmus.yaml": twoSites("policies:\n  - { match: [a, b], mode: async }\n") };
const faulty = {
  "isthmus.yaml": twoSites("policies:\n  - { match: a, mode: synk }\nlimit: {}\n"),
};
const odd = { "isthmus.yaml": twoSites("policies:\n  - { match: a, mode: off, timeout: 1s }\n") };

describe("isthmus check", () => {
  it("says OK with counts for a sound file", async () => {
    expect(await runIsthmus(["check"], sound)).toEqual({
      code: 0,
      out: "isthmus.yaml: OK, 2 sites, 1 rule, 2 caches by name\n",
      err: "",
    });
  });

  it("prints every fault with its place on stdout, and ends 1", async () => {
    expect(await runIsthmus(["check"], faulty)).toEqual({
      code: 1,
      out: `isthmus.yaml:12:23 error IS1007 policies[0].mode: expected sync|async|invalidate|off|never, got "synk" (did you mean "sync"?)
isthmus.yaml:13:1 error IS1005 limit: unknown key (did you mean "limits"?)
`,
      err: "isthmus.yaml: 2 errors\n",
    });
  });

  it("shows a warning and still ends 0", async () => {
    const { code, out } = await runIsthmus(["check"], odd);
    expect(code).toBe(0);
    expect(out).toContain("warning IS1019 policies[0].timeout");
    expect(out).toContain("isthmus.yaml: OK, 2 sites, 1 rule, 1 cache by name, 1 warning\n");
  });

  it("prints one object with --json, faults or not", async () => {
    const bad = await runIsthmus(["check", "--json"], faulty);
    expect(bad).toMatchObject({ code: 1, err: "" });
    const report: unknown = JSON.parse(bad.out);
    expect(report).toMatchObject({ file: "isthmus.yaml", ok: false, errors: 2, warnings: 0 });
    expect(report).toHaveProperty("diagnostics[0]", {
      file: "isthmus.yaml",
      line: 12,
      col: 23,
      severity: "error",
      code: "IS1007",
      path: "policies[0].mode",
      message: 'expected sync|async|invalidate|off|never, got "synk" (did you mean "sync"?)',
    });
    const good = await runIsthmus(["check", "--json"], sound);
    expect(JSON.parse(good.out)).toMatchObject({ ok: true, errors: 0, diagnostics: [] });
  });
});

describe("any other verb", () => {
  it("refuses a bad file with all its faults, and ends 2", async () => {
    const { code, out, err } = await runIsthmus(["caches"], faulty);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("isthmus: IS1007 isthmus.yaml cannot be used:\n  isthmus.yaml:12:23 ");
    expect(err).toContain("\n  isthmus.yaml:13:1 error IS1005 ");
  });

  it("shows warnings as talk", async () => {
    const { code, out, err } = await runIsthmus(["caches", "--json"], odd);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toHaveProperty("caches");
    expect(err).toContain("warning IS1019");
  });
});
