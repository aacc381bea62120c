import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../../deploy/cli/main.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "isthmus-run-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const FILE = `apiVersion: isthmus/v1
sites:
  nyc:
    cache: { servers: ["127.0.0.1:1"] }
    nats: { servers: ["nats://127.0.0.1:2"] }
    keycloak: { adminUrl: "http://127.0.0.1:5", realm: master, clientId: i, clientSecretEnv: S }
  lon: { cache: { servers: ["127.0.0.1:3"] }, nats: { servers: ["nats://127.0.0.1:4"] } }
policies:
  - { match: sessions, mode: sync }
`;

async function isthmus(file: string, ...args: string[]): Promise<{ code: number; said: string }> {
  writeFileSync(join(folder, "isthmus.yaml"), file);
  let said = "";
  const write = (text: string) => (said += text);
  const around = { stdout: { write }, stderr: { write }, cwd: folder, version: "0" };
  return { code: await main(args, around), said };
}

describe("a key that this version does not have yet", () => {
  it("stops run with exit 2 and its name", async () => {
    const { code, said } = await isthmus(FILE, "run", "--site", "nyc");
    expect(code).toBe(2);
    expect(said).toContain("sites.nyc.keycloak is not available in this version");
  });

  it("is named by check, which takes the file", async () => {
    const { code, said } = await isthmus(FILE, "check");
    expect(code).toBe(0);
    expect(said).toContain("sites.nyc.keycloak is not available in this version");
  });
});
