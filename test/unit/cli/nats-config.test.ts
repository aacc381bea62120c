import { describe, expect, it } from "vitest";
import { runIsthmus, twoSites } from "./run-isthmus.ts";

const GIB = 2 ** 30;

async function natsConfig(site: string, text = twoSites()) {
  const files = { "isthmus.yaml": text };
  const { code, out, err } = await runIsthmus(["nats-config", "--site", site, "--json"], files);
  return { code, err, config: code === 0 ? (JSON.parse(out) as unknown) : undefined };
}

describe("isthmus nats-config", () => {
  it("lets the sites below dial the first site's leaf", async () => {
    expect(await natsConfig("nyc")).toEqual({
      code: 0,
      err: "",
      config: {
        server_name: "isthmus-nyc",
        listen: "127.0.0.1:4222",
        ping_interval: "10s",
        max_payload: 8 * 2 ** 20,
        jetstream: {
          store_dir: "FOLDER/data/nyc/jetstream",
          domain: "nyc",
          sync_interval: "always",
          max_file_store: 16 * GIB + 256 * 2 ** 20,
        },
        leafnodes: { listen: "127.0.0.1:7422", advertise: "nats.nyc.example:7422" },
      },
    });
  });

  it("dials the leaf of every site above, and keeps its own log at home", async () => {
    const { config } = await natsConfig("lon");
    expect(config).toHaveProperty("leafnodes", {
      remotes: [
        {
          urls: ["nats://nats.nyc.example:7422"],
          ignore_discovered_servers: true,
          deny_exports: ["isthmus.log.lon.>"],
          deny_imports: ["isthmus.log.lon.>"],
        },
      ],
    });
  });

  it("lets nothing of a third site pass on the link of two, for three links form a ring", async () => {
    const fra = `  fra:
    cache: { kind: embedded }
    nats: { servers: ["nats://127.0.0.1:24222"] }
`;
    const lonLeaf = twoSites(fra).replace(
      '14222"] }',
      '14222"], leaf: { listen: "127.0.0.1:17422" } }',
    );
    const { config, err } = await natsConfig("fra", lonLeaf);
    expect(config).toHaveProperty("leafnodes.isolate_leafnode_interest", true);
    const denied = (third: string): string[] => [
      "isthmus.log.fra.>",
      `isthmus.log.${third}.>`,
      `isthmus.beat.${third}`,
    ];
    expect(config).toHaveProperty("leafnodes.remotes[0].deny_exports", denied("lon"));
    expect(config).toHaveProperty("leafnodes.remotes[0].deny_imports", denied("lon"));
    expect(config).toHaveProperty("leafnodes.remotes[1].deny_exports", denied("nyc"));
    expect(err).toContain("keep other applications off these servers");
  });

  it("prints nats-server's own syntax without --json", async () => {
    const files = { "isthmus.yaml": twoSites() };
    const { out } = await runIsthmus(["nats-config", "--site", "lon"], files);
    expect(out).toBe(`server_name: "isthmus-lon"
listen: "127.0.0.1:14222"
ping_interval: "10s"
max_payload: 8388608
jetstream: {
  store_dir: "FOLDER/data/lon/jetstream"
  domain: "lon"
  sync_interval: "always"
  max_file_store: 17448304640
}
leafnodes: {
  remotes: [
    {
      urls: ["nats://nats.nyc.example:7422"]
      ignore_discovered_servers: true
      deny_exports: ["isthmus.log.lon.>"]
      deny_imports: ["isthmus.log.lon.>"]
    }
  ]
}
`);
  });

  it("makes room for the largest value that the file allows", async () => {
    const { config } = await natsConfig("nyc", twoSites("limits: { maxValueBytes: 16MiB }\n"));
    expect(config).toHaveProperty("max_payload", 32 * 2 ** 20);
  });

  it("uses the site's certificate for clients and leaves, and tls where the dialled site has one", async () => {
    const tls = (site: string): string =>
      `tls: { caFile: ca.pem, certFile: ${site}.pem, keyFile: ${site}.key }`;
    const text = twoSites()
      .replace("      leaf:", `      ${tls("nyc")}\n      leaf:`)
      .replace('4222"] }', `4222"], ${tls("lon")} }`);
    const files = {
      cert_file: "FOLDER/lon.pem",
      key_file: "FOLDER/lon.key",
      ca_file: "FOLDER/ca.pem",
    };
    const { config } = await natsConfig("lon", text);
    expect(config).toHaveProperty("tls", { ...files, verify: true });
    expect(config).toHaveProperty("leafnodes.remotes[0].urls", ["tls://nats.nyc.example:7422"]);
    expect(config).toHaveProperty("leafnodes.remotes[0].tls", files);
    const nyc = await natsConfig("nyc", text);
    expect(nyc.config).toHaveProperty("leafnodes.tls.cert_file", "FOLDER/nyc.pem");
  });

  it("says on stderr what is left to do", async () => {
    const text = twoSites().replace(
      'servers: ["nats://127.0.0.1:14222"]',
      'servers: ["tls://127.0.0.1:14222", "tls://127.0.0.1:14223"], nkeySeedFile: seed',
    );
    const { code, err } = await natsConfig("lon", text);
    expect(code).toBe(0);
    expect(err.trimEnd().split("\n")).toEqual([
      "lon: users and permissions are not printed by this version: add them to the configuration",
      "lon: no tls block is printed: sites.lon.nats.tls has no certFile and keyFile",
      "lon: printed for the first of 2 servers: add a cluster block for the others",
    ]);
  });

  it("refuses a file in which there is no leaf to dial", async () => {
    const text = twoSites().replace(/ {6}leaf: .*\n/, "");
    expect(await natsConfig("nyc", text)).toMatchObject({ code: 0 });
    const { code, err } = await natsConfig("lon", text);
    expect(code).toBe(2);
    expect(err).toContain(
      "IS1006 sites.nyc.nats.leaf is missing, so lon has nothing to dial there",
    );
  });

  it("needs a site of the file", async () => {
    const files = { "isthmus.yaml": twoSites() };
    const none = await runIsthmus(["nats-config"], files);
    expect(none.code).toBe(2);
    expect(none.err).toContain("IS5002 --site is needed, one of nyc, lon");
    const other = await natsConfig("nyk");
    expect(other).toMatchObject({ code: 2 });
    expect(other.err).toContain('has no site "nyk" (did you mean "nyc"?)');
  });
});
