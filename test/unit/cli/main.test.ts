import { describe, expect, it } from "vitest";
import { plannedVerbs, verbs } from "../../../deploy/cli/verbs.ts";
import { runIsthmus, twoSites } from "./run-isthmus.ts";

describe("the command line", () => {
  it("shows its verbs with --help, and as a fault when it is given nothing", async () => {
    const asked = await runIsthmus(["--help"]);
    expect(asked).toMatchObject({ code: 0, err: "" });
    for (const { name, summary } of verbs) {
      expect(asked.out).toContain(name);
      expect(asked.out).toContain(summary);
    }
    expect(await runIsthmus([])).toEqual({ code: 2, out: "", err: asked.out });
  });

  it("shows no verb that this version does not have, and says so when it is asked for", async () => {
    const { out } = await runIsthmus(["--help"]);
    const listed = [...out.matchAll(/^ {2}([a-z-]+) {2}/gm)].map(([, name]) => name);
    expect(listed).toEqual(verbs.map((verb) => verb.name));
    for (const name of plannedVerbs) {
      expect(listed).not.toContain(name);
      expect(await runIsthmus([name, "--whatever", "x"])).toEqual({
        code: 2,
        out: "",
        err: `isthmus: IS5003 ${name} is not available in this version\n`,
      });
    }
  });

  it("prints its version", async () => {
    expect(await runIsthmus(["--version"])).toEqual({ code: 0, out: "1.2.3\n", err: "" });
  });

  it("suggests the nearest verb and the nearest option", async () => {
    const verb = await runIsthmus(["chekc"]);
    expect(verb).toMatchObject({ code: 2, out: "" });
    expect(verb.err).toContain('IS5001 unknown verb "chekc" (did you mean "check"?)');
    const option = await runIsthmus(["check", "--jsno"]);
    expect(option).toMatchObject({ code: 2, out: "" });
    expect(option.err).toContain('IS5001 unknown option --jsno (did you mean "--json"?)');
  });

  it.each([
    [["check", "--site"], "IS5002 --site needs a value: NAME"],
    [["check", "--site", "--json"], "IS5002 --site needs a value: NAME"],
    [["check", "--json=yes"], "IS5002 --json takes no value, got yes"],
    [["check", "other.yaml"], 'IS5002 check takes no argument, got "other.yaml"'],
    [["completion", "bash", "--json"], "IS5002 completion has no --json"],
    [["check", "-x"], "IS5001 unknown option -x"],
    [["check", "--version"], "IS5001 unknown option --version"],
  ])("refuses %j as wrong use", async (argv, message) => {
    const { code, out, err } = await runIsthmus(argv);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(message);
  });

  it("takes options before the verb, short, long and with =", async () => {
    const files = { "a.yaml": twoSites() };
    for (const argv of [
      ["-f", "a.yaml", "check"],
      ["check", "-f", "a.yaml"],
      ["check", "--file=a.yaml"],
      ["--file", "a.yaml", "check"],
    ])
      expect(await runIsthmus(argv, files)).toMatchObject({ code: 0, err: "" });
  });

  it.each(verbs.map((verb) => verb.name))("explains %s", async (name) => {
    const { code, out } = await runIsthmus([name, "--help"]);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: isthmus ${name} `);
    expect(out.includes("--json")).toBe(
      verbs.find((verb) => verb.name === name)?.json !== undefined,
    );
  });

  it("says which file it cannot read", async () => {
    for (const name of ["check", "caches"])
      expect(await runIsthmus([name])).toEqual({
        code: 2,
        out: "",
        err: "isthmus: IS1002 cannot read isthmus.yaml: ENOENT\n  -f FILE names another file\n",
      });
  });
});
