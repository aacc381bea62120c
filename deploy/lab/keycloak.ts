import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabSiteName } from "./lab-file.ts";
import type { LabProcess } from "./lab-state.ts";
import { DATABASE, DATABASE_USER } from "./postgres.ts";
import { firstSite, portsOf, siteFolder, startPart } from "./start-part.ts";
import type { LabPlan, Part } from "./start-part.ts";
import { trialRealm } from "./trial-realm.ts";
import { which } from "./which.ts";

/** The administrator of the lab's Keycloaks: they listen on this machine alone. */
export const KEYCLOAK_ADMIN = { username: "admin", password: "admin" } as const;

/** Settings of Keycloak's Hot Rod client that it has no options of its own for. */
const HOT_ROD_FILE = "hotrod-client.properties";

/** Connections of one Keycloak to the database. */
const POOL_MAX = 20;

/** How long a Keycloak waits for Infinispan, ms. Its client's 2 s are not enough on a busy machine for the first cache with an index, and it would end. */
const CACHE_MS_MAX = 20_000;

/** What Keycloak's own start script gives Java, and a start in half the time for code that is optimized less. */
const JAVA = [
  "-Xms64m",
  "-Xmx512m",
  "-XX:MetaspaceSize=96M",
  "-XX:MaxMetaspaceSize=256m",
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:+ExitOnOutOfMemoryError",
  "-Dfile.encoding=UTF-8",
  "-Djava.security.egd=file:/dev/urandom",
  "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
  "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
  "-Dpicocli.disable.closures=true",
  "-Dquarkus-log-max-startup-records=10000",
  ...["util", "util.concurrent", "security", "lang"].map(
    (name) => `--add-opens=java.base/java.${name}=ALL-UNNAMED`,
  ),
  "--enable-native-access=ALL-UNNAMED",
];

/**
 * Starts a site's Keycloak, whose Infinispan is the site's front door. Both sites' run from one build, each in a folder of
 * its own. They name themselves by the first site's address, as if a balancer stood before them: without that no token of
 * one would be good at the other.
 */
export async function startKeycloak(plan: LabPlan, site: LabSiteName): Promise<LabProcess> {
  const build = await which(
    plan.keycloak === "database" ? "keycloak-persistent-sessions" : "keycloak",
  );
  const home = join(siteFolder(plan, site), "keycloak");
  writeHome(home, build);
  const { door, keycloak, management } = portsOf(plan, site);
  const { keycloak: publicPort, database } = portsOf(plan, firstSite(plan));
  const folders = [`-Dkc.home.dir=${home}`, `-Djboss.server.config.dir=${join(home, "conf")}`];
  const program = [
    "-cp",
    join(home, "lib", "quarkus-run.jar"),
    "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
  ];
  const settings = [
    "--http-enabled=true",
    "--http-host=127.0.0.1",
    `--http-port=${keycloak}`,
    `--http-management-port=${management}`,
    `--hostname=http://127.0.0.1:${publicPort}`,
    `--db-url=jdbc:postgresql://127.0.0.1:${database}/${DATABASE}`,
    `--db-username=${DATABASE_USER}`,
    `--db-password=${DATABASE_USER}`,
    "--db-pool-initial-size=1",
    `--db-pool-max-size=${POOL_MAX}`,
    "--cache-remote-host=127.0.0.1",
    `--cache-remote-port=${door}`,
    "--cache-remote-tls-enabled=false",
    `--spi-cache-remote--default--properties-file=${join(home, "conf", HOT_ROD_FILE)}`,
    // Every question for its health would be told.
    "--log-level=INFO,io.smallrye.health:WARN",
    "--import-realm",
  ];
  const args = [...JAVA, ...folders, ...program, "start", "--optimized", ...settings];
  const log = join(siteFolder(plan, site), "keycloak.log");
  const name = `Keycloak ${site}`;
  const part: Part = { kind: "keycloak", name, site, ports: { keycloak, management }, log };
  const environment = {
    KC_BOOTSTRAP_ADMIN_USERNAME: KEYCLOAK_ADMIN.username,
    KC_BOOTSTRAP_ADMIN_PASSWORD: KEYCLOAK_ADMIN.password,
  };
  return startPart(part, await which("java"), args, { environment });
}

/** All that a Keycloak reads from its folder; one that finds the realm in its database leaves it as it is. */
function writeHome(home: string, build: string): void {
  const imports = join(home, "data", "import");
  for (const folder of [imports, join(home, "conf"), join(home, "providers")])
    mkdirSync(folder, { recursive: true });
  const properties = `infinispan.client.hotrod.socket_timeout=${CACHE_MS_MAX}\n`;
  writeFileSync(join(home, "conf", HOT_ROD_FILE), properties);
  rmSync(join(home, "lib"), { force: true });
  symlinkSync(join(build, "lib"), join(home, "lib"));
  for (const file of ["keycloak.conf", "cache-ispn.xml"])
    copyFileSync(join(build, "conf", file), join(home, "conf", file));
  writeFileSync(join(imports, "trial-realm.json"), `${JSON.stringify(trialRealm(), null, 2)}\n`);
}
