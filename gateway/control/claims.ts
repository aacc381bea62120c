import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { packPlain } from "../../topology/mutation/plain-msgpack.ts";
import { controlSubject, type CacheName, type SiteName } from "../../topology/names.ts";
import { type Bus, CLAIM_ANSWERS, type Claim, type ClaimAnswer } from "../../topology/ports.ts";
import { bytesOf, decoded, keyOf, VERSION } from "../resync/peer-entries.ts";

const VERB = "claim";
const RELEASE = "release";
/** The home answers so much sooner than the claimant stops waiting, whatever it waited for. */
const HOME_SHARE = 0.8;

/** A home's hands for one cache. */
export interface Home {
  claimed(claim: Claim, timeoutMs: number): Promise<ClaimAnswer>;
  released(id: string): void;
}

/** Answers the peers' claims to keys whose home this site is. The returned function ends it. */
export function serveClaims(
  bus: Bus,
  site: SiteName,
  home: (cache: CacheName) => Home | undefined,
): () => void {
  const ends = [
    bus.serve(controlSubject(site, VERB), async (payload) => {
      const { cache, claim, timeoutMs } = decodeClaim(payload);
      const here = home(cache);
      if (here === undefined)
        throw new IsthmusError(
          ErrorCode.PeerRefused,
          `${site} keeps no single-use keys of cache ${cache}`,
        );
      const answer = await here.claimed(claim, timeoutMs);
      return packPlain([VERSION, CLAIM_ANSWERS.indexOf(answer)]);
    }),
    bus.subscribe(controlSubject(site, RELEASE), (payload) => {
      const release = decodeRelease(payload);
      if (release !== undefined) home(release.cache)?.released(release.id);
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** @throws PeerUnreachable, PeerRefused, PeerMessageInvalid, NatsUnreachable */
export async function askClaim(
  bus: Bus,
  home: SiteName,
  cache: CacheName,
  claim: Claim,
  timeoutMs: number,
): Promise<ClaimAnswer> {
  const { key, dot, id } = claim;
  const homeMs = Math.floor(timeoutMs * HOME_SHARE);
  const question = packPlain([VERSION, cache, bytesOf(key), dot, id, homeMs]);
  const answer = await bus.request(controlSubject(home, VERB), question, Math.ceil(timeoutMs));
  return decoded(answer, (row) => {
    const found = CLAIM_ANSWERS[row.count("answer")];
    if (found === undefined) throw new Error("no such answer");
    return found;
  });
}

/** The claimant did not use the key, or waits no longer. A home that does not hear it finds out by itself, later. */
export function releaseClaim(bus: Bus, home: SiteName, cache: CacheName, claim: Claim): void {
  bus.publish(controlSubject(home, RELEASE), packPlain([VERSION, cache, claim.id]));
}

function decodeClaim(payload: Uint8Array): { cache: CacheName; claim: Claim; timeoutMs: number } {
  return decoded(payload, (row) => {
    const cache = row.text("cache");
    const claim = { key: keyOf(row.bytes("key")), dot: row.dot("dot"), id: row.text("id") };
    return { cache, claim, timeoutMs: row.count("timeoutMs") };
  });
}

/** undefined: it is not one. */
function decodeRelease(payload: Uint8Array): { cache: CacheName; id: string } | undefined {
  try {
    return decoded(payload, (row) => ({ cache: row.text("cache"), id: row.text("id") }));
  } catch {
    return undefined;
  }
}
