import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { conflictPolicyHash } from "../../topology/policy/conflict-policy-hash.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import { isModulePath } from "../../topology/policy/merge-name.ts";
import type { MergeFunction, MergeRegistry } from "../../topology/version/show.ts";
import type { PublishedSchema, SchemaPorts } from "./published-schema.ts";

/** The merges that a file names, as one site runs them, and what the peers compare. */
export interface Merges {
  readonly registry: MergeRegistry;
  /** What two sites compare before one applies what the other decided. */
  hashOf(policy: ConflictPolicy): string;
  /** Once a cache is open, before anything of it is merged: reads what its merge needs of the site. Never rejects. */
  ready(policy: ConflictPolicy, ports: SchemaPorts): Promise<void>;
}

/** One merge, and what its function needs or is compared by. */
interface Loaded {
  readonly run: MergeFunction;
  /** Of a module of the user's. */
  readonly content?: Uint8Array;
  /** Of a built-in merge. */
  readonly schema?: PublishedSchema;
}

/**
 * Loads every merge of the file; paths of modules are relative to `directory`.
 *
 * @throws MergeUnusable when a module cannot be read, has no default export that is a function, or a built-in merge is not there
 */
export async function loadMerges(config: Config, directory: string): Promise<Merges> {
  const loaded = new Map<string, Loaded>();
  const schemas = new Map<string, PublishedSchema>();
  for (const { conflict } of config.policies) {
    const name = conflict === undefined ? undefined : mergeNameOf(conflict);
    if (name === undefined || loaded.has(name)) continue;
    const merge = isModulePath(name) ? loadModule(name, directory) : loadBuiltIn(name, schemas);
    loaded.set(name, await merge);
  }
  const mergeOf = (policy: ConflictPolicy) => loaded.get(mergeNameOf(policy) ?? "");
  return {
    registry: new Map([...loaded].map(([name, { run }]) => [name, run])),
    hashOf: (policy) => conflictPolicyHash(policy, mergeOf(policy)?.content),
    ready: async (policy, ports) => mergeOf(policy)?.schema?.read(ports),
  };
}

function mergeNameOf(policy: ConflictPolicy): string | undefined {
  return typeof policy === "object" && "merge" in policy ? policy.merge : undefined;
}

async function loadBuiltIn(name: string, schemas: Map<string, PublishedSchema>): Promise<Loaded> {
  // Only who names one pays for a protobuf library.
  const { keycloakMerges } = await import("../../topology/policy/keycloak/merges.ts");
  const published = await import("./published-schema.ts");
  const merge = keycloakMerges.get(name);
  if (merge === undefined) {
    throw new IsthmusError(
      ErrorCode.MergeUnusable,
      `the merge ${JSON.stringify(name)} is not available in this version`,
      { hint: "name a module of your own by its path, or another conflict policy" },
    );
  }
  const schema = schemas.get(merge.schemaFile) ?? new published.PublishedSchema(merge.schemaFile);
  schemas.set(merge.schemaFile, schema);
  return { run: schema.merge(name, merge), schema };
}

async function loadModule(name: string, directory: string): Promise<Loaded> {
  const path = resolve(directory, name);
  try {
    const content = await readFile(path);
    return { run: exportOf((await import(pathToFileURL(path).href)) as object, name), content };
  } catch (cause) {
    if (cause instanceof IsthmusError) throw cause;
    throw new IsthmusError(
      ErrorCode.MergeUnusable,
      `the merge module ${name} cannot be loaded: ${String(cause)}`,
      { cause },
    );
  }
}

function exportOf(module: object, name: string): MergeFunction {
  const merge: unknown = "default" in module ? module.default : undefined;
  if (typeof merge === "function") return merge as MergeFunction;
  throw new IsthmusError(
    ErrorCode.MergeUnusable,
    `the merge module ${name} has no default export that is a function`,
    { hint: "export default (values) => ({ value, expiry }), see deploy/docs/policies.md" },
  );
}
