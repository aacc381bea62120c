import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderErrorsPage } from "../../../deploy/docs/generate-errors.ts";
import { ErrorCode } from "../../../topology/errors.ts";

const ROOT = join(import.meta.dirname, "../../..");

describe("the errors page", () => {
  it("is what topology/errors.ts says; if not, run `npm run errors-page`", () => {
    const source = readFileSync(join(ROOT, "topology/errors.ts"), "utf8");
    expect(readFileSync(join(ROOT, "deploy/docs/errors.md"), "utf8")).toBe(
      renderErrorsPage(source),
    );
  });

  it("has every code", () => {
    const page = readFileSync(join(ROOT, "deploy/docs/errors.md"), "utf8");
    for (const code of Object.values(ErrorCode)) expect(page).toContain(`\n| ${code} | `);
  });

  it("needs cause and remedy of each code, in a comment of any number of lines", () => {
    const page = renderErrorsPage(
      '/**\n   * Two a|b\n   * lines. Remedy: wait.\n   */\n  A: "IS3001",\n  /** x. Remedy: y. */\n  B: "IS1001",',
    );
    expect(page).toContain("| IS3001 | Two a\\|b lines. | Wait. |");
    expect(page.indexOf("IS1001")).toBeLessThan(page.indexOf("IS3001"));
    expect(() => renderErrorsPage('/** no way out. */ A: "IS1001"')).toThrow("A (IS1001)");
    expect(() => renderErrorsPage('/** x. Remedy: y. */ A: "IS1001", B: "IS1002"')).toThrow("B");
    expect(() =>
      renderErrorsPage('/** x. Remedy: y. */ A: "IS1001", /** x. Remedy: y. */ B: "IS1001"'),
    ).toThrow("twice");
  });
});
