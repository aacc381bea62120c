import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LAB_MARK, labFile, labPorts, labShape } from "../../../deploy/lab/lab-file.ts";
import { LabFolder } from "../../../deploy/lab/lab-state.ts";
import type { LabState } from "../../../deploy/lab/lab-state.ts";
import { parseConfig } from "../../../topology/config/parse-config.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { cachesOf, policyOf } from "../../../topology/policy/cache-policy.ts";

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "isthmus-lab-state-"));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

const by = { pid: 1, startedAt: "7" };

describe("the lab's folder", () => {
  it("gives back the state that was kept, until it is forgotten", () => {
    const folder = new LabFolder(path);
    expect(folder.state()).toBeUndefined();
    const part = { name: "nats-server nyc", site: "nyc", kind: "nats-server", ports: {} } as const;
    const processes = [{ ...part, log: "log", logFrom: 0, ...by }];
    const state: LabState = { phase: "running", by, base: 4000, processes };
    folder.keep(state);
    expect(folder.state()).toEqual(state);
    folder.forget();
    expect(folder.state()).toBeUndefined();
  });

  it.each(["", "{", "{}", '{"by":{"pid":1},"processes":[]}', '{"by":{"pid":"1"},"processes":[]}'])(
    "refuses a state of %j",
    (text) => {
      writeFileSync(join(path, "lab.json"), text);
      expect(() => new LabFolder(path).state()).toThrow(
        expect.objectContaining({ code: ErrorCode.LabFolderInvalid }),
      );
    },
  );

  it("is only made where nothing of others is, and removes only what a lab wrote", () => {
    const folder = new LabFolder(path);
    folder.make();
    writeFileSync(folder.file, `${LAB_MARK}\n`);
    writeFileSync(join(path, "mine"), "");
    folder.make();
    folder.remove();
    expect(existsSync(folder.file)).toBe(false);
    expect(existsSync(join(path, "mine"))).toBe(true);
    expect(() => folder.make()).toThrow(
      expect.objectContaining({ code: ErrorCode.LabFolderInvalid }),
    );
  });
});

describe("the lab's file", () => {
  it.each([[["nyc", "lon"] as const], [["nyc", "lon", "sfo"] as const]])(
    "is sound for the sites %j, and names a different port for everything that listens",
    async (sites) => {
      const ports = await labPorts(undefined, sites);
      const all = [...ports.values()].flatMap((of) => Object.values(of));
      expect(new Set(all).size).toBe(9 * sites.length);
      const { config, diagnostics } = parseConfig(labFile(ports), { file: "f", directory: path });
      expect(diagnostics).toEqual([]);
      expect(config?.sites.map(({ nats }) => nats.storeDir)).toEqual(
        sites.map((site) => join(path, site, "jetstream")),
      );
    },
  );

  it("gives a lab with Keycloak front doors, and handles only caches that its Keycloaks make", async () => {
    const ports = await labPorts(undefined, ["nyc", "lon"]);
    const configOf = (shape = labShape()) =>
      parseConfig(labFile(ports, shape), { file: "f", directory: path });
    expect(configOf().config?.sites.map(({ frontDoor }) => frontDoor)).toEqual([
      undefined,
      undefined,
    ]);
    const handled = (keycloak: "infinispan" | "database") => {
      const { config, diagnostics } = configOf(labShape(keycloak));
      expect(diagnostics).toEqual([]);
      if (config === undefined) throw new Error("no config");
      expect(config.sites.map(({ frontDoor }) => frontDoor?.listen.port)).toEqual(
        [...ports.values()].map(({ door }) => door),
      );
      return cachesOf(config)
        .filter((cache) => !["off", "never"].includes(policyOf(config, cache).mode))
        .sort();
    };
    const always = ["actionTokens", "authenticationSessions", "demo", "loginFailures", "work"];
    const sessions = ["clientSessions", "offlineClientSessions", "offlineSessions", "sessions"];
    expect(handled("database")).toEqual(always);
    expect(handled("infinispan")).toEqual([...always, ...sessions].sort());
  });
});
