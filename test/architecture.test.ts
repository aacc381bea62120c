// What holds the house up, checked on the sources themselves.
//
// ARCHITECTURE.md is held to its word too. In it, between backticks,
// - a path that starts with a top folder (`topology/names.ts`, `site-agent/ledger/`) must exist,
// - a path with an export (`topology/names.ts#logStream`) must exist and export that name,
// - a name with parentheses (`policyOf()`) must be exported by some source file.
// Anything else between backticks is free.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "..");

/** What each top folder may import from. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  topology: ["topology"],
  "site-agent": ["site-agent", "topology"],
  gateway: ["gateway", "topology"],
  deploy: ["deploy", "site-agent", "gateway", "topology"],
  test: ["test", "deploy", "site-agent", "gateway", "topology"],
};
const FOLDERS = Object.keys(MAY_IMPORT);

/** The pure model does no I/O. */
const NOT_IN_TOPOLOGY =
  /^(node:(net|tls|fs|dgram|http|https|child_process|worker_threads)(\/.*)?|nats|@nats-io\/.*|lmdb|pino|fastify|prom-client)$/;

const FORBIDDEN_NAME =
  /^(utils?|helpers?|common|manager|misc|shared|index)\b|-(utils?|helpers?|manager)\b/;

/** The world's time, chance and settings come in through constructors, except where programs are composed or tested. */
const AMBIENT =
  /\b(process\.env|Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now|new Date\(\))/;
const LINES_MAX = 600;

interface Source {
  /** From the project's root, with slashes. */
  readonly path: string;
  readonly text: string;
}

function sources(): Source[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(ts|mjs)$/.test(file))
      .map((file) => `${folder}/${file}`)
      .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") })),
  );
}

const folderOf = (path: string): string => path.split("/")[0] ?? "";

/** The text without comments, as far as a scan without a parser can tell. */
const withoutComments = (text: string): string =>
  text.replace(/\/\*[^]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");

function importsOf({ text }: Source): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)["']([^"']+)["']/g;
  return [...withoutComments(text).matchAll(pattern)].flatMap(([, name]) => name ?? []);
}

/** Imports that go the wrong way. */
function wrongImports(source: Source): string[] {
  const folder = folderOf(source.path);
  return importsOf(source)
    .filter((name) => {
      if (!name.startsWith(".")) return folder === "topology" && NOT_IN_TOPOLOGY.test(name);
      const target = folderOf(normalize(join(dirname(source.path), name)));
      return FOLDERS.includes(target) && !(MAY_IMPORT[folder] ?? []).includes(target);
    })
    .map((name) => `${source.path} imports ${name}`);
}

function ambientUse({ path, text }: Source): string[] {
  if (["deploy", "test"].includes(folderOf(path))) return [];
  const found = AMBIENT.exec(withoutComments(text));
  return found === null ? [] : [`${path} uses ${found[0]}`];
}

function exportsOf({ text }: Source): string[] {
  const declared =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|function\*?|class|interface|type) (\w+)/gm;
  return [...text.matchAll(declared)].flatMap(([, name]) => name ?? []);
}

/** What a page names that is not there. */
function brokenReferences(page: string, all: readonly Source[]): string[] {
  const spans = [...page.matchAll(/`([^`\n]+)`/g)].flatMap(([, span]) => span ?? []);
  return spans.filter((span) => {
    const [path = "", name] = span.split("#");
    if (FOLDERS.includes(folderOf(path)) && path.includes("/")) {
      if (!existsSync(join(ROOT, path))) return true;
      if (name === undefined) return false;
      const source = all.find((candidate) => candidate.path === path);
      return source === undefined || !exportsOf(source).includes(name);
    }
    const call = /^(\w+)\(\)$/.exec(span)?.[1];
    return call !== undefined && !all.some((source) => exportsOf(source).includes(call));
  });
}

const all = sources();

describe("the house", () => {
  it("has its imports point one way: site-agent -> topology <- gateway, deploy composes", () => {
    expect(all.length).toBeGreaterThan(50);
    expect(all.flatMap(wrongImports)).toEqual([]);
  });

  it(`keeps files at ${LINES_MAX} lines at most`, () => {
    const long = all.filter(({ text }) => text.trimEnd().split("\n").length > LINES_MAX);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  it("names files for what they export", () => {
    const vague = all.filter(({ path }) => FORBIDDEN_NAME.test(basename(path)));
    expect(vague.map(({ path }) => path)).toEqual([]);
    const odd = all.filter(({ path }) => !/^[a-z0-9.-]+$/.test(basename(path)));
    expect(odd.map(({ path }) => path)).toEqual([]);
  });

  it("takes time, chance and settings only where programs are composed or tested", () => {
    expect(all.flatMap(ambientUse)).toEqual([]);
  });

  it("is what ARCHITECTURE.md says", () => {
    const page = join(ROOT, "ARCHITECTURE.md");
    const text = existsSync(page) ? readFileSync(page, "utf8") : "";
    expect(brokenReferences(text, all)).toEqual([]);
  });
});

describe("these checks", () => {
  const source = (path: string, text: string): Source => ({ path, text });

  it("find an import that goes the wrong way", () => {
    const wrong = (path: string, text: string): number => wrongImports(source(path, text)).length;
    expect(wrong("topology/a.ts", 'import { x } from "../gateway/x.ts";')).toBe(1);
    expect(wrong("topology/a/b.ts", 'import type { x } from "../../deploy/x.ts";')).toBe(1);
    expect(wrong("topology/a.ts", 'import { readFile } from "node:fs/promises";')).toBe(1);
    expect(wrong("topology/a.ts", 'const x = await import("lmdb");')).toBe(1);
    expect(wrong("gateway/a.ts", 'export { x } from "../site-agent/x.ts";')).toBe(1);
    expect(wrong("gateway/a.ts", '// import { x } from "../site-agent/x.ts";')).toBe(0);
    expect(wrong("gateway/a.ts", 'import { connect } from "nats";')).toBe(0);
    expect(wrong("site-agent/a.ts", 'import { x } from "../topology/x.ts";')).toBe(0);
  });

  it("find ambient time outside deploy and test, but not in comments", () => {
    expect(ambientUse(source("gateway/a.ts", "const t = Date.now();"))).toHaveLength(1);
    expect(ambientUse(source("topology/a.ts", "process.env.HOME"))).toHaveLength(1);
    expect(ambientUse(source("gateway/a.ts", "/** not Date.now */\n// Math.random"))).toEqual([]);
    expect(ambientUse(source("deploy/a.ts", "Date.now()"))).toEqual([]);
  });

  it("find vague names", () => {
    for (const name of ["utils.ts", "string-utils.ts", "helpers.ts", "common.ts", "index.ts"])
      expect(name).toMatch(FORBIDDEN_NAME);
    for (const name of ["names.ts", "indexing.ts", "site-log.ts"])
      expect(name).not.toMatch(FORBIDDEN_NAME);
  });

  it("find what a page names and the sources do not have", () => {
    const page =
      "`topology/names.ts` `topology/` `topology/names.ts#logStream` `logStream()` `isthmus check`\n" +
      "`topology/gone.ts` `gateway/none/` `topology/names.ts#gone` `goneToo()`";
    expect(brokenReferences(page, all)).toEqual([
      "topology/gone.ts",
      "gateway/none/",
      "topology/names.ts#gone",
      "goneToo()",
    ]);
  });
});
