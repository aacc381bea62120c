// Fetches the jars of the Infinispan server and of the Java Hot Rod client, and Keycloak, with Maven.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CACHE, Missing, ROOT, onPath, run, say } from "./ground.mjs";

/** Throws Missing("java") unless a Java runtime of at least 17 is on PATH; returns its path. */
export async function java() {
  const program = onPath("java");
  if (program === undefined) {
    throw new Missing(
      "java",
      "no java found. Install a Java runtime of 17 or newer and put it on PATH",
    );
  }
  const { stdout } = await run(program, ["-version"], { quiet: true });
  const major = Number(/version "(\d+)/.exec(stdout)?.[1] ?? 0);
  if (major >= 17) return program;
  throw new Missing("java", `${program} is Java ${major}, not 17 or newer`);
}

/**
 * Runs Maven, then `finish`, once for the present text of `inputs`, the pom first; the folder that they fill is complete or
 * absent.
 */
async function once(inputs, folder, what, goals, finish = async () => {}) {
  const text = inputs.map((input) => readFileSync(input, "utf8")).join("");
  const stamp = join(folder, "inputs");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === text) return folder;
  const maven = onPath("mvn");
  if (maven === undefined) {
    throw new Missing(what, `no mvn found, and ${folder} does not hold the jars. Install Maven`);
  }
  say(`fetching jars for ${folder.slice(ROOT.length)}`);
  const scratch = `${folder}.${process.pid}`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  try {
    const args = ["-q", "-B", "-f", inputs[0], ...goals, ...outputs(scratch)];
    const { code, stdout } = await run(maven, args, { quiet: true });
    if (code !== 0) throw new Missing(what, `mvn failed on ${inputs[0]}:\n${stdout.trim()}`);
    await finish(scratch);
    writeFileSync(join(scratch, "inputs"), text);
    rmSync(folder, { recursive: true, force: true });
    renameSync(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return folder;
}

const outputs = (folder) => [
  "-DincludeScope=runtime",
  `-DoutputDirectory=${join(folder, "lib")}`,
  `-Disthmus.output=${join(folder, "target")}`,
];

/** The class path of the Infinispan server. Throws Missing("infinispan" | "java"). */
export async function infinispanClassPath() {
  await java();
  const pom = join(ROOT, "deploy", "infinispan", "pom.xml");
  const goals = ["dependency:copy-dependencies"];
  const folder = await once([pom], join(CACHE, "infinispan-16.0.7"), "infinispan", goals);
  return join(folder, "lib", "*");
}

/** The class path of the drills' checker. Throws Missing("java"). */
export async function drillCheckerClassPath() {
  await java();
  const home = join(ROOT, "deploy", "drills", "java");
  const sources = readdirSync(home).filter((name) => name.endsWith(".java"));
  const inputs = ["pom.xml", ...sources.sort()].map((name) => join(home, name));
  const goals = ["compile", "dependency:copy-dependencies"];
  const folder = await once(inputs, join(CACHE, "drill-checker"), "java", goals);
  return `${join(folder, "target", "classes")}:${join(folder, "lib", "*")}`;
}

/** The class path of the Java Hot Rod client that the live tests write and read with. Throws Missing("java"). */
export async function javaClientClassPath() {
  await java();
  const inputs = ["pom.xml", "JavaClient.java", "Load.java"].map((name) =>
    join(ROOT, "test", "support", "java", name),
  );
  const goals = ["compile", "dependency:copy-dependencies"];
  const folder = await once(inputs, join(CACHE, "java-client"), "java", goals);
  return `${join(folder, "target", "classes")}:${join(folder, "lib", "*")}`;
}

const KEYCLOAK = "keycloak-26.7.3";

/** What every Keycloak of the lab is built for. */
const KEYCLOAK_BUILD = [
  "--db=postgres",
  "--health-enabled=true",
  "--metrics-enabled=true",
  "--features=multi-site,clusterless",
];

/**
 * The folder of a Keycloak that is built for PostgreSQL and a remote Infinispan, with the users' sessions there or, with
 * `persistentSessions`, in the database: that is fixed when it is built. Throws Missing("keycloak" | "java").
 */
async function keycloakHome({ persistentSessions }) {
  const program = await java();
  const [suffix, features] = persistentSessions
    ? ["-persistent-sessions", []]
    : ["", ["--features-disabled=persistent-user-sessions"]];
  const folder = join(CACHE, `${KEYCLOAK}${suffix}`);
  const pom = join(ROOT, "deploy", "keycloak", "pom.xml");
  const build = async (scratch) => {
    say(`building ${KEYCLOAK}${suffix}, once`);
    const script = join(scratch, "lib", KEYCLOAK, "bin", "kc.sh");
    const args = [script, "build", ...KEYCLOAK_BUILD, ...features];
    const env = { JAVA: program, JAVA_OPTS_KC_HEAP: "-Xms64m -Xmx768m" };
    const { code, stdout } = await run("sh", args, { quiet: true, env });
    if (code === 0) return;
    const end = stdout.trim().split("\n").slice(-20).join("\n");
    throw new Missing("keycloak", `kc.sh build failed:\n${end}`);
  };
  const goals = ["dependency:unpack-dependencies"];
  await once([pom], folder, "keycloak", goals, build);
  return join(folder, "lib", KEYCLOAK);
}

/** See keycloakHome: the users' sessions are in Infinispan. */
export const keycloak = () => keycloakHome({ persistentSessions: false });

/** See keycloakHome: the users' sessions are in the database. */
export const keycloakPersistentSessions = () => keycloakHome({ persistentSessions: true });
