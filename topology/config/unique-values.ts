import { isScalar } from "yaml";
import { ErrorCode } from "../errors.ts";
import type { AddressUse, FileReading } from "./file-reading.ts";

/**
 * Notes each address that two sites use, or a listener and anything else of one site. The file is the same at every site, so an address
 * must mean one thing everywhere, loopback included; only a listener on all interfaces (`0.0.0.0`, `[::]`) says nothing
 * about a place, and may stand at several sites.
 */
export function checkUniqueAddresses(file: FileReading): void {
  const firstUses = new Map<string, AddressUse[]>();
  for (const use of file.addresses) {
    const earlier = firstUses.get(use.address) ?? [];
    const rival = earlier.find((other) => clash(use, other));
    if (rival !== undefined)
      file.error(
        use.place,
        ErrorCode.FileNotUnique,
        `${use.address} is already used by ${rival.place.path}; give each its own address`,
      );
    firstUses.set(use.address, [...earlier, use]);
  }
}

function clash(a: AddressUse, b: AddressUse): boolean {
  if (siteOf(a) !== siteOf(b)) return !/^(0\.0\.0\.0|\[::\]):/.test(a.address);
  return !(a.shared && b.shared);
}

/** The site is the second part of the path, `sites.nyc.http.listen`. */
function siteOf(use: AddressUse): string {
  return use.place.path.split(".")[1] ?? "";
}

/** Notes each JetStream domain that two sites have: the one server would take the other's JetStream for its own. */
export function checkUniqueDomains(file: FileReading): void {
  const sites = file.child(file.top(), "sites");
  const owners = new Map<string, string>();
  for (const [site, { value }] of (sites && file.entries(sites)) ?? []) {
    const nats = file.child(value, "nats");
    const place = nats && file.child(nats, "domain");
    const domain = isScalar(place?.node) ? String(place.node.value) : site;
    const owner = owners.get(domain);
    if (owner !== undefined)
      file.error(
        place ?? value,
        ErrorCode.FileNotUnique,
        `JetStream domain ${JSON.stringify(domain)} is already that of site ${owner}; give each site its own`,
      );
    owners.set(domain, owner ?? site);
  }
}
