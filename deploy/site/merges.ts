import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { conflictPolicyHash } from "../../topology/policy/conflict-policy-hash.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import { isModulePath } from "../../topology/policy/merge-name.ts";
import type { MergeFunction, MergeRegistry } from "../../topology/version/show.ts";

/** The merges that a file names, ready to run, and the content that the peers compare. */
export interface Merges {
  readonly registry: MergeRegistry;
  /** What two sites compare before one applies what the other decided. */
  hashOf(policy: ConflictPolicy): string;
}

/**
 * Loads every merge module of the file; paths are relative to `directory`.
 *
 * @throws MergeUnusable when a module cannot be read, has no default export that is a function, or a built-in merge is not there
 */
export async function loadMerges(config: Config, directory: string): Promise<Merges> {
  const registry = new Map<string, MergeFunction>();
  const contents = new Map<string, Uint8Array>();
  for (const { conflict } of config.policies) {
    if (conflict === undefined || typeof conflict === "string" || !("merge" in conflict)) continue;
    const { merge } = conflict;
    if (registry.has(merge)) continue;
    if (!isModulePath(merge)) {
      throw new IsthmusError(
        ErrorCode.MergeUnusable,
        `the merge ${JSON.stringify(merge)} is not available in this version`,
        { hint: "name a module of your own by its path, or another conflict policy" },
      );
    }
    const path = resolve(directory, merge);
    try {
      contents.set(merge, await readFile(path));
      registry.set(merge, mergeOf((await import(pathToFileURL(path).href)) as object, merge));
    } catch (cause) {
      if (cause instanceof IsthmusError) throw cause;
      throw new IsthmusError(
        ErrorCode.MergeUnusable,
        `the merge module ${merge} cannot be loaded: ${String(cause)}`,
        { cause },
      );
    }
  }
  return {
    registry,
    hashOf: (policy) => {
      const merge = typeof policy === "object" && "merge" in policy ? policy.merge : "";
      return conflictPolicyHash(policy, contents.get(merge));
    },
  };
}

function mergeOf(module: object, name: string): MergeFunction {
  const merge: unknown = "default" in module ? module.default : undefined;
  if (typeof merge === "function") return merge as MergeFunction;
  throw new IsthmusError(
    ErrorCode.MergeUnusable,
    `the merge module ${name} has no default export that is a function`,
    { hint: "export default (values) => ({ value, expiry }), see deploy/docs/policies.md" },
  );
}
