import { LedgerDisk, SimLedger } from "../sim/world/sim-ledger.ts";
import { SimProcess, WallClock } from "../sim/world/sim-process.ts";
import { SimRandom } from "../sim/world/sim-random.ts";
import { SimTime } from "../sim/world/sim-time.ts";
import type { Clock } from "../../topology/ports.ts";

/** Virtual ms after which a test that still waits has failed. */
const PATIENCE_MS = 3_600_000;

/** One machine in virtual time: a process with a clock and a ledger, which may crash and start again on the same disk. */
export class VirtualMachine {
  readonly random: SimRandom;
  readonly disk = new LedgerDisk();
  readonly #time: SimTime;
  readonly #wall: WallClock;
  #process: SimProcess;
  #ledger: SimLedger;

  constructor(seed = 1) {
    this.random = new SimRandom(seed);
    this.#time = new SimTime(this.random.fork());
    this.#wall = new WallClock(this.#time, 0);
    this.#process = new SimProcess(this.#time, this.#wall);
    this.#ledger = new SimLedger(this.disk, this.#process, this.random.fork());
  }

  get clock(): Clock {
    return this.#process.clock;
  }

  get ledger(): SimLedger {
    return this.#ledger;
  }

  /** Ends the process at once: what it had not committed is lost. The next one starts. */
  restart(): void {
    this.#process.kill();
    this.#process = new SimProcess(this.#time, this.#wall);
    this.#ledger = new SimLedger(this.disk, this.#process, this.random.fork());
  }

  /** The machine loses its power: what was not on disk may be lost too. */
  powerCut(): void {
    this.#process.kill();
    this.disk.loseUnsynced(this.random);
    this.restart();
  }

  /** The wall clock jumps; the monotonic one does not. */
  jump(ms: number): void {
    this.#wall.skewMs += ms;
  }

  /** Lets virtual time pass; all that became due has run. */
  async pass(ms: number): Promise<void> {
    await microtasks();
    await this.#time.run(this.#time.now + ms);
    await microtasks();
  }

  /** Lets time pass until `isDone`. */
  async until(isDone: () => boolean): Promise<void> {
    await microtasks();
    if (isDone() || (await this.#time.run(this.#time.now + PATIENCE_MS, isDone))) return;
    if (!isDone()) throw new Error("what the test waits for never came");
  }

  /** Lets time pass until `promise` has ended; resolves or rejects as it did. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    promise.then(end, end);
    await this.until(() => ended);
    return promise;
  }
}

const microtasks = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
