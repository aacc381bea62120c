import { formatAddress, siteNamed } from "../../topology/config/config.ts";
import type { Address, Config, Site } from "../../topology/config/config.ts";
import { natsAddress } from "../../topology/config/value-readers.ts";
import { ErrorCode, IsthmusError, assert } from "../../topology/errors.ts";
import { NATS_PAYLOAD_BYTES_MIN, NATS_SPARE_BYTES } from "../../topology/limits.ts";
import { beatSubject, logSubjects } from "../../topology/names.ts";
import type { SiteName } from "../../topology/names.ts";

/** A nats-server's configuration, as its own syntax and JSON both can hold it. */
export type ServerConfig = { readonly [key: string]: ServerValue };

type ServerValue = string | number | boolean | ServerConfig | readonly ServerValue[];

/**
 * The configuration that the file implies for a site's nats-server: its own JetStream domain, flushed at each message, and a
 * leaf link to each site above it in the file.
 *
 * @throws IsthmusError FileMissingKey when a site above has no leaf listener to dial.
 */
export function natsServerConfig(config: Config, name: SiteName): ServerConfig {
  const site = siteNamed(config, name);
  assert(site !== undefined, () => `no site ${name}`);
  const { nats } = site;
  const tls = serverTls(site);
  return {
    server_name: `isthmus-${name}`,
    listen: formatAddress(clientAddress(site)),
    // A link that died without a word is noticed in 20 s; the default takes four minutes.
    ping_interval: "10s",
    max_payload: Math.max(NATS_PAYLOAD_BYTES_MIN, 2 * config.limits.maxValueBytes),
    ...tls,
    jetstream: {
      store_dir: nats.storeDir,
      domain: nats.domain,
      // Without it an acknowledged message may be lost in a power cut up to two minutes later.
      sync_interval: "always",
      // The site's own log, and a mirror of each other site's.
      max_file_store: config.limits.logMaxBytes * config.sites.length + NATS_SPARE_BYTES,
    },
    ...leafNodes(config, site, tls),
  };
}

function leafNodes(config: Config, site: Site, tls: ServerConfig): ServerConfig {
  const { leaf } = site.nats;
  const listener: ServerConfig =
    leaf === undefined
      ? {}
      : {
          listen: formatAddress(leaf.listen),
          ...(leaf.advertise !== undefined && { advertise: formatAddress(leaf.advertise) }),
          ...tls,
        };
  const above = config.sites.slice(0, config.sites.indexOf(site));
  const remotes = above.map((hub) => {
    const others = config.sites.filter((other) => other !== site && other !== hub);
    return remote(site, hub, others);
  });
  if (leaf === undefined && remotes.length === 0) return {};
  return {
    leafnodes: {
      ...listener,
      // With three sites the links form a ring, which nats-server refuses unless no link passes another's interest on.
      ...(config.sites.length > 2 && { isolate_leafnode_interest: true }),
      ...(remotes.length > 0 && { remotes }),
    },
  };
}

function remote(site: Site, hub: Site, others: readonly Site[]): ServerConfig {
  const { leaf } = hub.nats;
  if (leaf === undefined)
    throw new IsthmusError(
      ErrorCode.FileMissingKey,
      `sites.${hub.name}.nats.leaf is missing, so ${site.name} has nothing to dial there: ` +
        "a site dials the leaf of every site above it in the file",
    );
  const scheme = hub.nats.tls?.certFile === undefined ? "nats" : "tls";
  const denied = deniedOnLeaf(
    site.name,
    others.map((other) => other.name),
  );
  return {
    urls: [`${scheme}://${formatAddress(leaf.advertise ?? leaf.listen)}`],
    // Else the leaf learns the hub's own addresses and goes round the one that the file gives.
    ignore_discovered_servers: true,
    deny_exports: denied,
    deny_imports: denied,
    ...(scheme === "tls" && clientTls(site)),
  };
}

/** What must not pass the link that `site` dials, when `others` are the sites that are at neither of its ends. */
export function deniedOnLeaf(site: SiteName, others: readonly SiteName[]): string[] {
  // A site's log is written and kept at that site alone; others get it by their mirrors.
  return [logSubjects(site), ...others.flatMap((other) => foreignSubjects(other))];
}

/**
 * What several sites subscribe to: on the link of two sites nothing of a third may pass, or it would go round the ring for
 * ever. It has a link of its own to each of them.
 */
function foreignSubjects(other: SiteName): string[] {
  return [logSubjects(other), beatSubject(other)];
}

function clientAddress({ nats }: Site): Address {
  const address = natsAddress(nats.servers[0] ?? "");
  assert(address !== undefined, "the file's parser lets only NATS URLs through");
  return address;
}

/** A site has one certificate, for its clients, its leaf listener and the links it dials. */
function serverTls({ nats: { tls } }: Site): ServerConfig {
  if (tls?.certFile === undefined || tls.keyFile === undefined) return {};
  const certificate = { cert_file: tls.certFile, key_file: tls.keyFile };
  if (tls.caFile === undefined) return { tls: certificate };
  return { tls: { ...certificate, ca_file: tls.caFile, verify: true } };
}

function clientTls({ nats: { tls } }: Site): ServerConfig {
  return {
    tls: {
      ...(tls?.certFile !== undefined && { cert_file: tls.certFile }),
      ...(tls?.keyFile !== undefined && { key_file: tls.keyFile }),
      ...(tls?.caFile !== undefined && { ca_file: tls.caFile }),
    },
  };
}

/** What the configuration leaves to the administrator, one sentence each. */
export function natsServerGaps(config: Config, site: Site): string[] {
  const { servers, nkeySeedFile, credsFile, tls } = site.nats;
  const gaps: string[] = [];
  if (config.sites.length > 2)
    gaps.push(
      "with three sites or more keep other applications off these servers: " +
        "a subject that they subscribe to at two sites would go round the links for ever",
    );
  const withUser = servers.some((url) => new URL(url).username !== "");
  if (withUser || nkeySeedFile !== undefined || credsFile !== undefined)
    gaps.push(
      "users and permissions are not printed by this version: add them to the configuration",
    );
  if (servers.some((url) => url.startsWith("tls:")) && tls?.certFile === undefined)
    gaps.push(`no tls block is printed: sites.${site.name}.nats.tls has no certFile and keyFile`);
  if (servers.length > 1)
    gaps.push(
      `printed for the first of ${servers.length} servers: add a cluster block for the others`,
    );
  return gaps;
}

/** The configuration in nats-server's own syntax. Every text is quoted, so that no value is taken for a variable or a size. */
export function renderServerConfig(config: ServerConfig): string {
  return Object.entries(config)
    .map(([key, value]) => `${key}: ${render(value, "")}\n`)
    .join("");
}

function render(value: ServerValue, indent: string): string {
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const items = (value as readonly ServerValue[]).map((item) => render(item, inner));
    if (items.every((item) => !item.includes("\n"))) return `[${items.join(", ")}]`;
    return `[\n${items.map((item) => `${inner}${item}\n`).join("")}${indent}]`;
  }
  const lines = Object.entries(value).map(
    ([key, item]) => `${inner}${key}: ${render(item, inner)}\n`,
  );
  return `{\n${lines.join("")}${indent}}`;
}
