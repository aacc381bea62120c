import { assert } from "./errors.ts";

/** A site's name: `[a-z0-9-]{1,16}`. */
export type SiteName = string;

/** A cache's canonical name, the one in the file; `rename` maps it to a local name at the connector only. */
export type CacheName = string;

/** What a site's name must look like. */
export const SITE_NAME = /^[a-z0-9-]{1,16}$/;

/** The origin's log: `ISTHMUS_OUT_NYC`. */
export const logStream = (site: SiteName): string => `ISTHMUS_OUT_${streamToken(site)}`;

/** A target's durable mirror of an origin's log: `ISTHMUS_IN_NYC`, held in the target's own domain. */
export const mirrorStream = (origin: SiteName): string => `ISTHMUS_IN_${streamToken(origin)}`;

/** The durable consumer on the origin's log that feeds one target's mirror: `ISTHMUS_TO_LON`. */
export const mirrorConsumer = (target: SiteName): string => `ISTHMUS_TO_${streamToken(target)}`;

/** Where the origin's server delivers the log for one target's mirror. */
export const mirrorDeliverSubject = (origin: SiteName, target: SiteName): string =>
  `isthmus.mirror.${target}.${origin}`;

/** The subject of one cache in an origin's log. */
export const logSubject = (origin: SiteName, cache: CacheName): string =>
  `isthmus.log.${origin}.${escapeToken(cache)}`;

/** The subject of an origin's own records (term begins), beside those of its caches: no cache can be named so. */
export const termSubject = (origin: SiteName): string => `isthmus.log.${origin}.=term`;

/** Every subject in an origin's log. */
export const logSubjects = (origin: SiteName): string => `isthmus.log.${origin}.>`;

/** Where a target announces how far it applied an origin's log. */
export const appliedSubject = (origin: SiteName, target: SiteName): string =>
  `isthmus.applied.${origin}.${target}`;

/** A site's heartbeats. */
export const beatSubject = (site: SiteName): string => `isthmus.beat.${site}`;

/** One operator verb at one site. */
export const controlSubject = (site: SiteName, verb: string): string =>
  `isthmus.ctl.${site}.${verb}`;

/** The site's own key-value bucket: lease, fences. */
export const siteBucket = (site: SiteName): string => `isthmus_${site}`;

/** Stream names allow no dots or blanks; a site's name has neither, so upper case is all that is needed. */
function streamToken(site: SiteName): string {
  assert(SITE_NAME.test(site), () => `site name ${JSON.stringify(site)}`);
  return site.toUpperCase();
}

/**
 * A cache's name as one NATS token: letters, digits, `_` and `-` stay, every other UTF-8 byte becomes `=` and two hex
 * digits. No two names share a token.
 */
export function escapeToken(name: string): string {
  let out = "";
  for (const byte of Buffer.from(name, "utf8")) {
    const char = String.fromCharCode(byte);
    out += /[A-Za-z0-9_-]/.test(char) ? char : `=${byte.toString(16).padStart(2, "0")}`;
  }
  return out;
}
