/**
 * Merges that come with Isthmus, by the name that the file uses, each with the version of its rules: another one whenever the
 * same values give other bytes, because sites compare it before one applies what the other decided.
 */
const BUILT_IN: Readonly<Record<string, number>> = {
  "keycloak/auth-session-tabs": 1,
  "keycloak/login-failure": 1,
};

/** The names of the merges that come with Isthmus. */
export const BUILT_IN_MERGES: readonly string[] = Object.keys(BUILT_IN);

/** The version of a built-in merge's rules; undefined: there is no such merge. */
export function builtInVersion(merge: string): number | undefined {
  return Object.hasOwn(BUILT_IN, merge) ? BUILT_IN[merge] : undefined;
}

/** Whether a merge is a module of the user's: a relative or absolute path, or a script's name. */
export function isModulePath(merge: string): boolean {
  return /^\.{0,2}\//.test(merge) || /\.[cm]?js$/.test(merge);
}
