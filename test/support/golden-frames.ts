import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../deploy/lab/which.ts";

/** One frame of a recording of a real server, and what another decoder made of it. */
export interface GoldenFrame {
  readonly from: "client" | "server";
  readonly bytes: Buffer;
  /** Lines trimmed. */
  readonly text: string;
  /** The recording's name of the step that the frame belongs to. */
  readonly step: string;
}

const read = (name: string): string[] =>
  readFileSync(join(projectRoot(), "test", "golden", name), "utf8").split("\n");

/** Every frame between a test client and Infinispan Server 16.0.7, on one connection, in order. */
export function vectorFrames(): GoldenFrame[] {
  const frames: { from: "client" | "server"; bytes: Buffer; text: string; step: string }[] = [];
  let step = "";
  for (const line of read("hotrod-vectors.txt")) {
    const frame = /^([<>]) ([0-9a-f]+)$/.exec(line);
    const last = frames.at(-1);
    if (line.startsWith("### ")) step = line.slice(4);
    else if (frame !== null) {
      const from = frame[1] === ">" ? "client" : "server";
      frames.push({ from, bytes: whole(Buffer.from(frame[2] ?? "", "hex")), text: "", step });
    } else if (last !== undefined && line.startsWith(" ")) {
      last.text += `${last.text === "" ? "" : "\n"}${line.trim()}`;
    }
  }
  return frames;
}

/** The recording keeps 350 bytes of a frame. One is longer: a topology of 256 segments, each owned by server 0. */
function whole(bytes: Buffer): Buffer {
  if (bytes.length < 350) return bytes;
  const topology = Buffer.from("a11a180001f7fdd1e50301093132372e302e302e3179f6038002", "hex");
  const segments = Buffer.from("0100".repeat(256), "hex");
  const ping = keycloakFrames().find((frame) => frame.text.startsWith("0 PING_R"))?.bytes;
  if (ping === undefined || !Buffer.concat([topology, segments]).subarray(0, 350).equals(bytes)) {
    throw new Error("the recording has another long frame than the one that is known");
  }
  const mediaTypes = Buffer.from("010300010300", "hex");
  return Buffer.concat([topology, segments, mediaTypes, ping.subarray(7)]);
}

/** The frames that were recorded in full between Keycloak 26.7.3 and Infinispan, on one connection, in order. */
export function keycloakFrames(): GoldenFrame[] {
  const frames: GoldenFrame[] = [];
  const lines = read("hotrod-keycloak-trace.txt");
  for (const [i, line] of lines.entries()) {
    const head = /^ *[\d.]+ c6([<>]) +(.*)$/.exec(line);
    const raw = /^ +RAW ([0-9a-f]+)$/.exec(lines[i + 1] ?? "");
    if (head === null || raw === null) continue;
    frames.push({
      from: head[1] === ">" ? "client" : "server",
      bytes: Buffer.from(raw[1] ?? "", "hex"),
      text: (head[2] ?? "").trim(),
      step: line.trim().slice(0, 60),
    });
  }
  return frames;
}
