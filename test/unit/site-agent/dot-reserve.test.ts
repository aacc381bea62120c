import { describe, expect, it } from "vitest";
import { DotReserve } from "../../../site-agent/dot-reserve.ts";
import { dotMs, makeDot } from "../../../topology/version/dot.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

const reserveOf = (machine: VirtualMachine, isActive = () => true) =>
  new DotReserve(machine.ledger, machine.clock, isActive);

describe("the reserve of dots", () => {
  it("has none before the first block is on disk", async () => {
    const machine = new VirtualMachine();
    const dots = reserveOf(machine);
    expect(dots.mayDraw).toBe(false);
    await machine.settle(dots.ready());
    expect(dots.mayDraw).toBe(true);
    expect(dotMs(dots.clock.next())).toBe(machine.clock.now());
  });

  it("never gives a dot twice, whatever a crash or a power cut takes from the ledger, and wherever the clock jumps (I6)", async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const machine = new VirtualMachine(seed);
      let last = 0n;
      for (let run = 0; run < 6; run++) {
        const dots = reserveOf(machine);
        for (let i = machine.random.below(8); i >= 0; i--) {
          await machine.settle(dots.ready());
          const dot = dots.clock.next();
          expect(dot > last, `seed ${seed}`).toBe(true);
          last = dot;
          await machine.pass(machine.random.below(900));
        }
        machine.jump(machine.random.below(20_000) - 10_000);
        if (machine.random.chance(0.5)) machine.powerCut();
        else machine.restart();
      }
    }
  });

  it("is topped up in the background, so that nobody waits while time passes at its usual pace", async () => {
    const machine = new VirtualMachine();
    const dots = reserveOf(machine);
    await machine.settle(dots.ready());
    for (let i = 0; i < 100; i++) {
      expect(dots.mayDraw).toBe(true);
      dots.clock.next();
      await machine.pass(100);
    }
  });

  it("starts above a dot that was found in the own log", async () => {
    const machine = new VirtualMachine();
    const dots = reserveOf(machine);
    const found = makeDot(machine.clock.now() + 60_000, 7);
    dots.startAbove(found);
    await machine.settle(dots.ready());
    expect(dots.clock.next() > found).toBe(true);
  });

  it("gives none while the lease is not held, and goes on when it is renewed", async () => {
    const machine = new VirtualMachine();
    let active = false;
    const dots = reserveOf(machine, () => active);
    let ready = false;
    const waiting = dots.ready().then(() => (ready = true));
    await machine.pass(10_000);
    expect([ready, dots.mayDraw]).toEqual([false, false]);
    active = true;
    await machine.settle(waiting);
    expect(dots.mayDraw).toBe(true);
    active = false;
    expect(dots.mayDraw).toBe(false);
  });
});
