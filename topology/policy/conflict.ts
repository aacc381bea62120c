import type { SiteName } from "../names.ts";

/** How a cache decides between concurrent versions of one key; the same at every site, in any order of delivery. */
export type ConflictPolicy =
  | "last-writer-wins"
  | "first-writer-wins"
  | "prefer-put"
  | "prefer-remove"
  /** The author that comes earliest shows; those not listed come last, by name. */
  | { readonly preferSite: readonly SiteName[] }
  /** Name of a registered pure merge, for example `keycloak/auth-session-tabs`, or a module's path. */
  | { readonly merge: string };
