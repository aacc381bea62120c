import { afterEach, describe, expect, it, vi } from "vitest";
import { tried } from "../../../../deploy/drills/keycloak/keycloak-drill.ts";
import type { KeycloakLab } from "../../../../deploy/drills/keycloak/keycloak-lab.ts";
import type { Row } from "../../../../deploy/drills/keycloak/row.ts";

const lab = { signal: new AbortController().signal } as unknown as KeycloakLab;

const row = (run: Row["run"], more: Partial<Row> = {}): Row => ({
  name: "a code is good once",
  scenarios: [2, 47],
  run,
  ...more,
});

afterEach(() => vi.unstubAllEnvs());

describe("a row that is tried", () => {
  it("has passed when it ran to its end, with its figures and its time", async () => {
    const check = await tried(
      "codes",
      row(async () => "20 codes"),
      lab,
    );
    expect(check).toMatchObject({ name: "codes: a code is good once (2, 47)", passed: true });
    expect(check.detail).toMatch(/^20 codes, \d+ ms$/);
    expect(check.ms).toBeGreaterThanOrEqual(0);
  });

  it("has failed when it threw, and says why", async () => {
    const run = async () => {
      throw new Error("code 3: expected [200,400], found [200,200]");
    };
    expect(await tried("codes", row(run, { scenarios: [] }), lab)).toMatchObject({
      name: "codes: a code is good once",
      passed: false,
      detail: expect.stringContaining("code 3: expected [200,400], found [200,200]"),
    });
  });

  it("is skipped where there is no Chromium, and has failed where one is asked for", async () => {
    vi.stubEnv("PATH", "/nowhere");
    vi.stubEnv("ISTHMUS_REQUIRE", "nats");
    const run = vi.fn<Row["run"]>();
    const skipped = await tried("browsers", row(run, { needs: "chromium" }), lab);
    expect(skipped).toMatchObject({ passed: true, isSkipped: true });
    expect(skipped.detail).toMatch(/^SKIPPED: no chromium found/);
    vi.stubEnv("ISTHMUS_REQUIRE", "nats,chromium");
    const failed = await tried("browsers", row(run, { needs: "chromium" }), lab);
    expect(failed).toMatchObject({ passed: false, isSkipped: false });
    expect(run).not.toHaveBeenCalled();
  });
});
