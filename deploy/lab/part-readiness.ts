import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { connect } from "node:net";
import { DATABASE_LOGIN, isLetIn } from "./postgres.ts";
import { HOT_ROD_ANSWER, HOT_ROD_PING, STARTED_MESSAGE } from "./infinispan-home.ts";
import type { LabProcess } from "./lab-state.ts";
import { answers } from "./server-process.ts";

/** How long a process may take to answer one question about its readiness. */
const ANSWER_MS_MAX = 2_000;

/** Why a process that runs is not ready yet, or undefined when it is. */
export async function whyNotReady(part: LabProcess): Promise<string | undefined> {
  switch (part.kind) {
    case "nats-server":
      // It greets each client with INFO, and listens for clients only once JetStream is up.
      return (await greets(part.ports["nats"], "", (bytes) => bytes.includes("INFO ")))
        ? undefined
        : "it does not take connections";
    case "infinispan": {
      const isUp = (bytes: Buffer) => bytes[0] === HOT_ROD_ANSWER;
      if (!(await greets(part.ports["cache"], HOT_ROD_PING, isUp)))
        return "Hot Rod does not answer";
      return logHas(part, STARTED_MESSAGE) ? undefined : "its start is not over";
    }
    case "isthmus":
      return refusal(part.ports["http"], "/health/ready");
    case "postgres":
      return (await greets(part.ports["database"], DATABASE_LOGIN, isLetIn))
        ? undefined
        : "it lets nobody in";
    case "keycloak":
      return (
        (await refusal(part.ports["management"], "/health/ready")) ??
        (await refusal(part.ports["keycloak"], "/lb-check"))
      );
  }
}

/** Why Hot Rod clients cannot come through a site's front door yet, or undefined when they can. */
export async function whyDoorShut({ ports }: LabProcess): Promise<string | undefined> {
  const isUp = (bytes: Buffer) => bytes[0] === HOT_ROD_ANSWER;
  return (await greets(ports["door"], HOT_ROD_PING, isUp)) ? undefined : "its front door is shut";
}

/** The line with which a process that runs says that it will never be ready. */
export function fatalLine(part: LabProcess): string | undefined {
  // An Infinispan whose start failed lets its process live on.
  if (part.kind !== "infinispan") return undefined;
  return /.*(?:Exception in thread "main"|ISPN080028).*/.exec(logOf(part))?.[0];
}

/** Why a path of a server's HTTP port does not answer with a yes, or undefined when it does. */
async function refusal(port: number | undefined, path: string): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    const text = await response.text();
    return response.ok ? undefined : `${path} says ${response.status}: ${text}`;
  } catch {
    return `${path} does not answer`;
  }
}

function greets(
  port = 0,
  hello: string | Buffer,
  isAnswer: (bytes: Buffer) => boolean,
): Promise<boolean> {
  const open = () => {
    const socket = connect(port, "127.0.0.1");
    if (hello.length > 0) socket.write(hello);
    return socket;
  };
  return answers(open, isAnswer, ANSWER_MS_MAX);
}

/** Whether a process logged these characters since it started, however much that is. */
function logHas({ log, logFrom }: LabProcess, text: string): boolean {
  const bytes = Buffer.alloc(2 ** 20);
  const file = openSync(log, "r");
  try {
    for (let at = logFrom; ;) {
      const read = readSync(file, bytes, 0, bytes.length, at);
      if (bytes.subarray(0, read).includes(text)) return true;
      if (read < bytes.length) return false;
      // The characters may lie across the end of what was read.
      at += read - text.length;
    }
  } finally {
    closeSync(file);
  }
}

/** What a process logged as it started: the first MiB since then. */
export function logOf({ log, logFrom }: LabProcess): string {
  if (!existsSync(log)) return "";
  const bytes = Buffer.alloc(2 ** 20);
  const file = openSync(log, "r");
  try {
    return bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, logFrom));
  } finally {
    closeSync(file);
  }
}
