import { describe, expect, it } from "vitest";
import { verbs } from "../../../deploy/cli/verbs.ts";
import { runIsthmus } from "./run-isthmus.ts";

describe("isthmus completion", () => {
  it.each(["bash", "zsh", "fish"])("knows every verb and its options in %s", async (shell) => {
    const { code, out, err } = await runIsthmus(["completion", shell]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const { name } of verbs) expect(out).toContain(name);
    expect(out).toMatch(shell === "fish" ? /nats-config" -l site -x/ : /nats-config\).*--site/);
    expect(out).toContain("bash zsh fish");
  });

  it.each([[["completion"]], [["completion", "csh"]], [["completion", "bash", "zsh"]]])(
    "refuses %j",
    async (argv) => {
      const { code, out, err } = await runIsthmus(argv);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toContain("IS5002 expected one of bash|zsh|fish, got");
    },
  );
});
