import type { Page } from "playwright-core";
import { which } from "../../lab/which.ts";

/** A page is shown by then, ms. */
const SHOWN_MS_MAX = 30_000;

/** Runs `work` with a page of a real Chromium, without a screen, all of whose requests go to a proxy. @throws Error when there is no Chromium */
export async function inChromium<T>(proxy: string, work: (page: Page) => Promise<T>): Promise<T> {
  const executablePath = await which("chromium");
  // For those who check out the project, not for those who run a site.
  const { chromium } = await import("playwright-core");
  // Its sandbox is not to be had as root.
  const chromiumSandbox = process.getuid?.() !== 0;
  const settings = { executablePath, chromiumSandbox, proxy: { server: proxy } };
  const browser = await chromium.launch(settings);
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(SHOWN_MS_MAX);
    return await work(page);
  } finally {
    await browser.close();
  }
}
