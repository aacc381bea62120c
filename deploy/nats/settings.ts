import type { Site } from "../../topology/config/config.ts";
import type { NatsSettings } from "../../gateway/link/nats-options.ts";

/** How to connect to a site's NATS, as the file says. */
export function natsSettings({ name: site, nats }: Site): NatsSettings {
  const { servers, domain, nkeySeedFile, credsFile, tls } = nats;
  return {
    site,
    servers,
    domain,
    ...(nkeySeedFile !== undefined && { nkeySeedFile }),
    ...(credsFile !== undefined && { credsFile }),
    ...(tls !== undefined && {
      tls: {
        ...(tls.caFile !== undefined && { caFile: tls.caFile }),
        ...(tls.certFile !== undefined && { certFile: tls.certFile }),
        ...(tls.keyFile !== undefined && { keyFile: tls.keyFile }),
      },
    }),
  };
}
