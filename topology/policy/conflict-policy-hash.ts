import { createHash } from "node:crypto";
import { assert } from "../errors.ts";
import type { ConflictPolicy } from "./conflict.ts";
import { builtInVersion, isModulePath } from "./merge-name.ts";

/**
 * 16 hex digits that two sites compare before one applies what the other decided: equal exactly if both decide alike. A
 * merge module counts by its content, which must be given, and not by its path, which may differ; a built-in merge by its
 * name and the version of its rules.
 */
export function conflictPolicyHash(policy: ConflictPolicy, moduleContent?: Uint8Array): string {
  return createHash("sha256").update(identity(policy, moduleContent)).digest("hex").slice(0, 16);
}

function identity(policy: ConflictPolicy, moduleContent: Uint8Array | undefined): string {
  if (typeof policy === "string") return policy;
  if ("preferSite" in policy) return `prefer-site ${policy.preferSite.join(" ")}`;
  if (!isModulePath(policy.merge)) {
    return `merge ${policy.merge} version ${builtInVersion(policy.merge) ?? 0}`;
  }
  assert(moduleContent !== undefined, () => `no content given for merge module ${policy.merge}`);
  return `merge module ${createHash("sha256").update(moduleContent).digest("hex")}`;
}
