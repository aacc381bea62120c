import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { verbs } from "../../../deploy/cli/verbs.ts";
import { DRAIN_MS_MAX } from "../../../topology/limits.ts";

const ROOT = join(import.meta.dirname, "../../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** The Dockerfile's instructions, continued lines joined. */
const instructions = read("deploy/images/Dockerfile")
  .replace(/^#.*\n/gm, "")
  .replace(/\\\n\s*/g, "")
  .split("\n")
  .filter((line) => line !== "");

const copies = instructions.flatMap((line) => {
  const [, from, paths = ""] = /^COPY (--from=\S+ )?(.+)$/.exec(line) ?? [];
  return paths === "" ? [] : [{ from, sources: paths.split(" ").slice(0, -1) }];
});

describe("the image", () => {
  it("copies only what a clone holds", () => {
    const sources = copies.flatMap(({ from, sources: own }) => (from === undefined ? own : []));
    expect(sources.length).toBeGreaterThan(8);
    const ignored = read(".dockerignore").split("\n");
    for (const source of sources) {
      expect(existsSync(join(ROOT, source)), source).toBe(true);
      expect(ignored).not.toContain(source);
    }
  });

  it("builds from every folder that the program is compiled from", () => {
    const { references } = JSON.parse(read("deploy/tsconfig.json")) as {
      references: { path: string }[];
    };
    const needed = ["deploy", ...references.map(({ path }) => path.replace("../", ""))];
    expect(copies.flatMap(({ sources }) => sources)).toEqual(expect.arrayContaining(needed));
  });

  it("runs the program as a user without rights, with a health check", () => {
    const last = instructions.slice(instructions.lastIndexOf("FROM node:20-slim"));
    expect(last).toContain("USER node");
    expect(last.join("\n")).toMatch(/^HEALTHCHECK .*CMD \["node"/m);
    const [, program = ""] =
      /ENTRYPOINT \["node", "\/opt\/isthmus\/(.+)"\]/.exec(last.join("\n")) ?? [];
    expect(existsSync(join(ROOT, program)), program).toBe(true);
    expect(last.join("\n")).not.toMatch(/^USER root/m);
  });
});

describe("the systemd unit", () => {
  const unit = read("deploy/systemd/isthmus@.service");
  const setting = (name: string): string | undefined =>
    new RegExp(`^${name}=(.*)$`, "m").exec(unit)?.[1];

  it("starts the program with a verb and options that it has", () => {
    const [, program = "", verb, ...args] = (setting("ExecStart") ?? "").split(" ");
    expect(existsSync(join(ROOT, program.replace("/opt/isthmus/", "")))).toBe(true);
    expect(verbs.map(({ name }) => name)).toContain(verb);
    expect(args).toEqual(["-f", "/etc/isthmus/isthmus.yaml", "--site", "%i"]);
  });

  it("gives a stop more time than a drain takes, and does not restart what a restart cannot mend", () => {
    expect(Number(setting("TimeoutStopSec")) * 1000).toBeGreaterThan(2 * DRAIN_MS_MAX);
    expect(setting("KillSignal")).toBe("SIGTERM");
    expect(setting("Restart")).toBe("on-failure");
    expect(setting("RestartPreventExitStatus")).toBe("2");
  });
});
