import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../topology/config/parse-config.ts";

const EXAMPLES = join(import.meta.dirname, "../../../deploy/examples");
const files = readdirSync(EXAMPLES).filter((name) => name.endsWith(".yaml"));

describe("the examples", () => {
  it("are the ones that the documentation names", () => {
    expect(files).toEqual(
      expect.arrayContaining([
        "three-site.yaml",
        "two-site-embedded.yaml",
        "two-site-keycloak.yaml",
      ]),
    );
  });

  it.each(files)("%s has neither fault nor warning", (name) => {
    const parsed = parseConfig(readFileSync(join(EXAMPLES, name), "utf8"), { file: name });
    expect(parsed.diagnostics).toEqual([]);
    expect(parsed.config?.sites.length).toBeGreaterThan(1);
  });
});
