import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe } from "vitest";
import { LmdbLedger } from "../../../site-agent/ledger/lmdb-ledger.ts";
import { LedgerDisk, SimLedger } from "../../sim/world/sim-ledger.ts";
import { SimProcess, WallClock } from "../../sim/world/sim-process.ts";
import { SimRandom } from "../../sim/world/sim-random.ts";
import { SimTime } from "../../sim/world/sim-time.ts";
import { ledgerContract, type UnderContract } from "./ledger-contract.ts";

// Goal: the simulator's ledger and the real one follow the same rules, so that what the simulator shows holds for the real
// one. Method: one suite, run against both.

const ends: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function openReal(directory: string): Promise<UnderContract> {
  const ledger = await LmdbLedger.open(directory, "nyc", process.pid);
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (isOpen) await ledger.close();
    isOpen = false;
  };
  ends.push(close);
  return {
    ledger,
    settled: (promise) => promise,
    // Closing commits what is staged: one of the ends that a crash may have. Kills are tested with a process of their own.
    crashed: async () => {
      await close();
      return openReal(directory);
    },
  };
}

function openSimulated(disk: LedgerDisk): UnderContract {
  const time = new SimTime(new SimRandom(1));
  const random = new SimRandom(2);
  const run = new SimProcess(time, new WallClock(time, 0));
  return {
    ledger: new SimLedger(disk, run, random),
    settled: async (promise) => {
      const state = { isSettled: false };
      const end = (): void => void (state.isSettled = true);
      promise.then(end, end);
      while (!state.isSettled) await time.run(time.now + 10);
      return promise;
    },
    crashed: async () => {
      run.kill();
      return openSimulated(disk);
    },
  };
}

describe("the ledger in LMDB", () => {
  ledgerContract(() => {
    const directory = mkdtempSync(join(tmpdir(), "isthmus-ledger-"));
    ends.push(async () => rmSync(directory, { recursive: true }));
    return openReal(directory);
  });
});

describe("the simulator's ledger", () => {
  ledgerContract(async () => openSimulated(new LedgerDisk()));
});
