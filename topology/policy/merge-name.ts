/** Merges that come with Isthmus, by the name that the file uses. */
export const BUILT_IN_MERGES: readonly string[] = [
  "keycloak/auth-session-tabs",
  "keycloak/login-failure",
];

/** Whether a merge is a module of the user's: a relative or absolute path, or a script's name. */
export function isModulePath(merge: string): boolean {
  return /^\.{0,2}\//.test(merge) || /\.[cm]?js$/.test(merge);
}
