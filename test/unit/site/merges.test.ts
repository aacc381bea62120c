import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadMerges } from "../../../deploy/site/merges.ts";
import type { Config } from "../../../topology/config/config.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import type { ConflictPolicy } from "../../../topology/policy/conflict.ts";

const folder = mkdtempSync(join(tmpdir(), "isthmus-merges-"));
afterAll(() => rmSync(folder, { recursive: true }));

const load = (...conflicts: Array<ConflictPolicy | undefined>) =>
  loadMerges(
    { policies: conflicts.map((conflict) => ({ conflict })) } as unknown as Config,
    folder,
  );
const module = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return { merge: `./${name}` };
};
const LONGEST = "export default (v) => ({ value: v[0].value, expiry: v[0].expiry });";

describe("merge modules", () => {
  it("are loaded by their path beside the file, once each, and run", async () => {
    const policy = module("a.mjs", LONGEST);
    const { registry } = await load("last-writer-wins", undefined, policy, policy);
    expect([...registry.keys()]).toEqual(["./a.mjs"]);
    const input = {
      value: Buffer.from("x"),
      site: "nyc",
      dot: 1n,
      at: 1,
      expiry: { expiresAt: 5, maxIdleMs: 0 },
    };
    expect(registry.get("./a.mjs")?.([input])).toEqual({
      value: input.value,
      expiry: input.expiry,
    });
  });

  it("have the hash of their content: the same bytes under the same name agree, others do not", async () => {
    const [one, two] = [module("one.mjs", LONGEST), module("two.mjs", `${LONGEST}\n// changed`)];
    const first = await load(one, two);
    expect(first.hashOf(one)).toBe((await load(one)).hashOf(one));
    expect(first.hashOf(one)).not.toBe(first.hashOf(two));
    writeFileSync(join(folder, "one.mjs"), `${LONGEST}\n// changed`);
    expect((await load(one)).hashOf(one)).not.toBe(first.hashOf(one));
    expect(first.hashOf("prefer-put")).not.toBe(first.hashOf("prefer-remove"));
  });

  it.each([
    ["is missing", () => ({ merge: "./none.mjs" }), "none.mjs"],
    ["does not parse", () => module("bad.mjs", "export default ("), "bad.mjs"],
    [
      "throws as it is loaded",
      () => module("throws.mjs", "throw new Error('no licence')"),
      "no licence",
    ],
    [
      "has no default export",
      () => module("named.mjs", "export const merge = () => 1"),
      "default export",
    ],
    ["exports no function", () => module("text.mjs", "export default 'text'"), "default export"],
    ["is none of this version", () => ({ merge: "keycloak/unknown" }), "keycloak/unknown"],
  ])("refuse to start, by one error that names it, when one %s", async (_name, policy, named) => {
    const failed = load(policy());
    await expect(failed).rejects.toMatchObject({ code: ErrorCode.MergeUnusable });
    await expect(failed).rejects.toThrow(named);
  });
});
