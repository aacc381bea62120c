import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadMerges } from "../../../deploy/site/merges.ts";
import { conflictPolicyHash } from "../../../topology/policy/conflict-policy-hash.ts";
import type { CacheSite } from "../../../topology/ports.ts";
import { KEYCLOAK_SCHEMA_TEXT, loginFailures, put } from "../../support/keycloak-values.ts";
import { SCHEMA_LOOK_MS } from "../../../topology/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryLogger } from "../../support/real-time.ts";
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

/** A site whose Infinispan publishes what `schema` says at the moment. */
function publishing(schema: () => Promise<string | undefined>) {
  const asked: string[] = [];
  const protobufSchema = (file: string) => {
    asked.push(file);
    return schema();
  };
  const cacheSite = { protobufSchema } as unknown as CacheSite;
  return { asked, cacheSite, clock: new ManualClock(), logger: new MemoryLogger() };
}

describe("built-in merges", () => {
  const policy = { merge: "keycloak/login-failure" };
  const other = { merge: "keycloak/auth-session-tabs" };
  const nyc = put("nyc", 1, loginFailures({ failures: 4, last: 5 }));
  const lon = put("lon", 2, loginFailures({ failures: 2, last: 6 }));
  const merged = loginFailures({ failures: 4, last: 6 });
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it("decode by the schema that the site's Infinispan has when a cache opens", async () => {
    const merges = await load(policy, other);
    const ports = publishing(async () => KEYCLOAK_SCHEMA_TEXT);
    await merges.ready(policy, ports);
    expect(ports.asked).toEqual(["KeycloakModelSchema.proto"]);
    expect(merges.registry.get(policy.merge)?.([lon, nyc]).value).toEqual(merged);
    await merges.ready("prefer-put", ports);
    expect(ports.asked).toHaveLength(1);
  });

  it("fail while no schema is published, and look again: one look for all that fail", async () => {
    const merges = await load(policy, other);
    let schema: string | undefined;
    const ports = publishing(async () => schema);
    await merges.ready(policy, ports);
    const merge = merges.registry.get(policy.merge);
    const fails = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        expect(() => merge?.([lon, nyc])).toThrow(
          expect.objectContaining({ code: ErrorCode.MergeFailed }),
        );
      }
      await settled();
    };
    await fails();
    expect(ports.asked).toHaveLength(1);
    ports.clock.advance(SCHEMA_LOOK_MS);
    await fails();
    expect(ports.asked).toHaveLength(2);
    expect(ports.logger.lines.map(({ message }) => message)).toEqual([
      expect.stringContaining("no such schema is published here"),
    ]);
    schema = KEYCLOAK_SCHEMA_TEXT;
    ports.clock.advance(SCHEMA_LOOK_MS);
    await fails();
    expect(ports.asked).toHaveLength(3);
    expect(merge?.([lon, nyc]).value).toEqual(merged);
  });

  it("look for another schema when a value does not fit the one that is known", async () => {
    const merges = await load(policy);
    let schema = KEYCLOAK_SCHEMA_TEXT.replace("@TypeId(65598)", "@TypeId(7)");
    const ports = publishing(async () => schema);
    await merges.ready(policy, ports);
    const merge = merges.registry.get(policy.merge);
    schema = KEYCLOAK_SCHEMA_TEXT;
    ports.clock.advance(SCHEMA_LOOK_MS);
    expect(() => merge?.([lon, nyc])).toThrow("the value is no keycloak.LoginFailureEntity");
    await settled();
    expect(merge?.([lon, nyc]).value).toEqual(merged);
  });

  it.each([
    ["is not there any more", async () => undefined],
    ["is no schema", async () => "message {"],
    ["may not be read", async () => Promise.reject(new Error("not allowed"))],
  ])("keep the schema that they have when another one %s", async (_what, answer) => {
    const merges = await load(policy);
    await merges.ready(
      policy,
      publishing(async () => KEYCLOAK_SCHEMA_TEXT),
    );
    const ports = publishing(answer);
    await merges.ready(policy, ports);
    expect(merges.registry.get(policy.merge)?.([lon, nyc]).value).toEqual(merged);
    expect(ports.logger.lines.map(({ level }) => level)).toEqual(["warn"]);
  });

  it("are compared by name and version", async () => {
    const merges = await load(policy, other);
    expect(merges.hashOf(policy)).toBe(conflictPolicyHash(policy));
    expect(merges.hashOf(policy)).not.toBe(merges.hashOf(other));
  });
});

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
