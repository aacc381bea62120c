import { defineConfig } from "vitest/config";

// One project per tier, named for its folder: `vitest run --project unit`.
const tier = (name: string, testTimeout: number, parallel: boolean) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: Math.max(testTimeout, 30_000),
    fileParallelism: parallel,
  },
});

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...tier("unit", 20_000, true).test,
          include: ["test/unit/**/*.test.ts", "test/*.test.ts"],
        },
      },
      tier("sim", 300_000, true),
      {
        test: {
          ...tier("live", 120_000, false).test,
          setupFiles: ["test/support/no-server-left.ts"],
        },
      },
    ],
  },
});
