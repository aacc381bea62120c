import {
  closeSync,
  constants,
  linkSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { hostname } from "node:os";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { SOCKET_PATH_BYTES_MAX } from "../../topology/limits.ts";

/** Ownership of a directory; release it last. */
export interface Owned {
  release(): Promise<void>;
}

/**
 * Takes sole ownership of a directory by listening on a socket in it: the kernel knows whether its owner lives, also across
 * containers of one machine, where process ids say nothing. Whoever connects is told the owner's process id.
 *
 * @throws IS2020 while another live process owns it.
 */
export async function own(directory: string, pid: number): Promise<Owned> {
  const handle = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const inPlace = join(directory, "owner.sock");
  // A socket's path is short by law of the kernel; through the handle any directory is near enough.
  const path =
    Buffer.byteLength(inPlace) < SOCKET_PATH_BYTES_MAX
      ? inPlace
      : `/proc/self/fd/${handle}/owner.sock`;
  try {
    const server = (await listening(path, pid)) ?? (await takeOver(path, pid, directory));
    return { release: () => close(server, handle) };
  } catch (error) {
    closeSync(handle);
    throw error;
  }
}

/** The socket is there: its owner lives, or left it behind. */
async function takeOver(path: string, pid: number, directory: string): Promise<Server> {
  const owner = await ask(path);
  if (owner !== undefined) throw held(directory, owner, sinceOf(path));
  // Out of the way under a name of its own, then asked again: a process that took over meanwhile is put back.
  const aside = `${path}.${pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const newOwner = await ask(aside);
  if (newOwner !== undefined) {
    linkSync(aside, path);
    unlinkSync(aside);
    throw held(directory, newOwner);
  }
  unlinkIfThere(aside);
  const server = await listening(path, pid);
  if (server === undefined) throw held(directory, (await ask(path)) ?? "unknown");
  return server;
}

/** Listens, or returns undefined if the path is taken. */
function listening(path: string, pid: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(String(pid));
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** The process id of the socket's owner; undefined if nobody listens. */
function ask(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(path);
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => (answer += text));
    socket.on("end", () => resolve(answer || "unknown"));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const gone = error.code === "ECONNREFUSED" || error.code === "ENOENT";
      resolve(gone ? undefined : "unknown");
    });
  });
}

async function close(server: Server, handle: number): Promise<void> {
  // Removes the socket from the directory too.
  await new Promise<void>((resolve) => server.close(() => resolve()));
  closeSync(handle);
}

/** The socket is as old as its owner's hold on the directory. */
function sinceOf(path: string): string {
  const made = statSync(path, { throwIfNoEntry: false })?.mtime;
  return made === undefined ? "" : `, since ${made.toISOString()}`;
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

const held = (directory: string, pid: string, since = ""): IsthmusError =>
  new IsthmusError(
    ErrorCode.LedgerHeld,
    `the ledger in ${directory} is open in another process: host ${hostname()}, process id ${pid}${since}`,
    { hint: "Stop that process: one process serves a site." },
  );
