import { parseArgs } from "node:util";
import { machine } from "./machine.ts";
import { agent } from "./agent.ts";
import { frontDoor } from "./front-door.ts";
import { pipeline } from "./pipeline.ts";

/** One bench: talk goes to `say`, the figures are returned. */
export type Bench = (options: {
  quick: boolean;
  /** The parts to measure, with commas between; all by default. */
  only: string | undefined;
  say: (line: string) => void;
}) => Promise<object>;

const benches: Readonly<Record<string, Bench>> = {
  agent,
  pipeline,
  "front-door": frontDoor,
};

const { values, positionals } = parseArgs({
  options: { quick: { type: "boolean" }, only: { type: "string" }, json: { type: "boolean" } },
  allowPositionals: true,
});
const [name] = positionals;
const bench = name === undefined ? undefined : benches[name];
if (bench === undefined) {
  process.stderr.write(
    `usage: npm run bench -- ${Object.keys(benches).join("|")} [--quick] [--only PART,..] [--json]\n`,
  );
  process.exitCode = 2;
} else {
  const isJson = values.json === true;
  const say = (line: string) => (isJson ? process.stderr : process.stdout).write(`${line}\n`);
  say(Object.values(machine()).join(", "));
  const figures = await bench({ quick: values.quick === true, only: values.only, say });
  if (isJson) process.stdout.write(`${JSON.stringify({ machine: machine(), ...figures })}\n`);
}
