/**
 * Every error that Isthmus raises on purpose carries one of these codes.
 *
 * The doc comment of a code is its documentation: first the cause, then what to do. `deploy/docs/errors.md` is
 * generated from this file, and a test fails when the two differ.
 *
 * Ranges: IS1xxx the file, IS2xxx the site agent, IS3xxx the gateway, IS4xxx the lab and drills, IS5xxx the command line.
 */
export const ErrorCode = {
  /** The file is not valid YAML. Remedy: correct the place that the message names. */
  FileNotYaml: "IS1001",
  /** The file cannot be read. Remedy: name it with `-f`, and check that it exists and that this user may read it. */
  FileUnreadable: "IS1002",
  /** `apiVersion` is not one that this program reads. Remedy: write `isthmus/v1`, or use the release that the file was written for. */
  FileApiVersion: "IS1003",
  /** A mapping names the same key twice. Remedy: keep one of the two. */
  FileDuplicateKey: "IS1004",
  /** A key that does not exist at this place. Remedy: correct the name; the message suggests the nearest one. */
  FileUnknownKey: "IS1005",
  /** A key without which the file has no meaning is missing. Remedy: add it; the message says what it holds. */
  FileMissingKey: "IS1006",
  /** A value that is not one of a fixed set of words. Remedy: use one of the words that the message lists. */
  FileNotAChoice: "IS1007",
  /** A value of another type, such as a number where a text is expected. Remedy: write what the message expects; quotes make a text. */
  FileWrongType: "IS1008",
  /** A duration that cannot be read. Remedy: write a whole number and one of ms, s, m, h, d, for example `250ms` or `24h`. */
  FileNotADuration: "IS1009",
  /** A size that cannot be read. Remedy: write a whole number and one of B, KiB, MiB, GiB, TiB, for example `64KiB`. */
  FileNotASize: "IS1010",
  /** A number, duration or size outside its range. Remedy: stay in the range that the message gives. */
  FileOutOfRange: "IS1011",
  /** A name that NATS or the file system could not carry. Remedy: keep to the characters and the length that the message gives. */
  FileBadName: "IS1012",
  /** An address or a URL that cannot be read, or a port outside 1..65535. Remedy: write `host:port`, `[ipv6]:port`, or a URL as the message shows. */
  FileBadAddress: "IS1013",
  /** Two places use one address, or two sites one JetStream domain. Remedy: give each its own: the file is the same at every site, so an address must mean one thing. */
  FileNotUnique: "IS1014",
  /** A site is named that `sites` does not have. Remedy: correct the name, or add the site. */
  FileUnknownSite: "IS1015",
  /** A rule gives a mode to a cache that the preset calls local (`never`). Remedy: take the cache out of the rule; replicating it would break the application. */
  FileNeverOverridden: "IS1016",
  /** Keys that exclude or need each other, such as `certFile` without `keyFile`. Remedy: the message names both. */
  FileKeysClash: "IS1017",
  /** Warning: an earlier rule already takes every cache of this one, so it never applies. Remedy: move it up, or delete it. */
  FileRuleUnreachable: "IS1018",
  /** Warning: a key is valid but does nothing here. Remedy: the message says what it would need. */
  FileNoEffect: "IS1019",

  /** A key of the file that this version does not have yet. Remedy: take it out to run without it, or use a version that has it. */
  FileNotAvailable: "IS1091",

  /** A merge that the file names cannot be used. Remedy: the message says why; a module needs a default export that is a function of `(values) => ({ value, expiry })`. */
  MergeUnusable: "IS1090",

  /** A cache that the file's rules handle does not exist in the local Infinispan. Remedy: create it (the message names it), or set its mode to off. */
  CacheMissing: "IS2001",
  /** No server of the site's cache could be reached. Remedy: check `sites.SITE.cache.servers` and that Infinispan runs; it is retried until it works. */
  CacheUnreachable: "IS2002",
  /** Infinispan refused the user name, the password or the mechanism. Remedy: check `cache.auth` and the environment variable that holds the password. */
  CacheAuthFailed: "IS2003",
  /** The cache stores Java objects, which cannot be copied byte for byte. Remedy: give it an encoding such as application/x-protostream. */
  CacheObjectStorage: "IS2004",
  /** A Hot Rod frame could not be decoded. Remedy: report it with the frame; the connection is closed. */
  HotRodProtocol: "IS2005",
  /** The server answered an operation with an error status. Remedy: see the message and the server's log. */
  HotRodServer: "IS2006",
  /** An operation got no answer in time; whether it was done is not known. Remedy: none needed, the key is read again. */
  HotRodTimeout: "IS2007",

  /** One key is written locally so often that an arriving version lost its compare-and-set many times in a row. Remedy: none needed, it is tried again. */
  ApplyRaced: "IS2008",

  /** The site's own log acknowledged a sequence that it had acknowledged before: it lost its end, for example by a restored backup. Remedy: none needed; the log gets a new incarnation and the peers a gap, which is repaired. */
  LogTruncated: "IS2009",

  /** A cache loses entries without an event for it: what was fetched from the peers was gone again, several times. Nothing is deleted elsewhere; its missing entries are fetched no more. Remedy: if it evicts, say `evicts: true` for it in the file; else give it room for all entries. */
  CacheEvicts: "IS2010",
  /** A merge that comes with Isthmus cannot decode a value, or the schema that it decodes with is not published in the site's Infinispan. Nothing is lost or altered: the key keeps what it shows at this site, and the version that arrived becomes a dead letter. Remedy: start the application at this site, which publishes its schema; then `isthmus dead-letters retry`. */
  MergeFailed: "IS2011",
  /** Another live process has the ledger open. Remedy: stop it; one process serves a site, the message names it. */
  LedgerHeld: "IS2020",
  /** The ledger was written by a release with another file format. Remedy: run that release, or start from an empty directory, which is rebuilt from the logs and the cache. */
  LedgerFormat: "IS2021",
  /** The ledger in the directory belongs to another site. Remedy: correct the directory in the file, or `site`. */
  LedgerOtherSite: "IS2022",
  /** The ledger could not be written: the disk is full or broken. Remedy: make room or mend the disk, then restart; nothing that was refused counts as captured. */
  LedgerBroken: "IS2023",
  /** A row of the ledger cannot be decoded. Remedy: report it; start from an empty directory, which resyncs everything. */
  LedgerCorrupt: "IS2024",
  /** The embedded cache cannot listen on its address. Remedy: free the port that the message names, or change `sites.SITE.cache.listen`. */
  EmbeddedListen: "IS2030",
  /** The front door cannot listen. Remedy: free the port, or change `sites.SITE.frontDoor.listen`. */
  DoorListen: "IS2031",
  /** A write was answered as failed, or before the targets had it, because they did not confirm it in time. Remedy: see the targets in `isthmus status`; the write stays at its site, and arrives once they are back. */
  HoldTimeout: "IS2032",
  /** A key of a cache with `singleUse: home` was used though the site that wrote it could not be asked, because `onTimeout` is `degrade`: it may have been used there too. Remedy: see the link in `isthmus status`; `onTimeout: fail` refuses such uses. */
  HomeUnasked: "IS2033",
  /** A site was granted the use of a single-use key and has not removed it in time. Remedy: none needed if that site was stopped or cut off; the key may be used again. */
  ClaimUnused: "IS2034",
  /** News for the site's Keycloak may have been missed, and its local caches cannot be cleared. Remedy: check `sites.SITE.keycloak` and that its client has a service account with the role `manage-realm` of the realm's `realm-management` (in `master`: `admin`); it is retried until it works. Clearing them by hand or restarting Keycloak helps too. */
  KeycloakStale: "IS2035",

  /** No NATS server of the site could be reached. Remedy: check `sites.SITE.nats.servers` and that nats-server runs; it is retried until it works. */
  NatsUnreachable: "IS3001",
  /** NATS refused the credentials. Remedy: check `nats.nkeySeedFile`, `nats.credsFile` or the user in the URL. */
  NatsAuthFailed: "IS3002",
  /** The NATS server of the site has no JetStream, or its JetStream domain is not the file's. Remedy: set `jetstream { domain: ... }` in the server's configuration (`isthmus nats-config` prints it), or `nats.domain` in the file. */
  NatsWrongDomain: "IS3003",
  /** The site's own log does not exist. Remedy: none needed, it is made anew and a gap is reported; if it recurs, find out who deletes the stream. */
  LogMissing: "IS3004",
  /** The site's own log did not confirm a record in time; whether it is stored is not known. Remedy: none needed, it is sent again under the same id; if it lasts, check the NATS server's disk and, where the message says so, other streams on the subject. */
  LogTimeout: "IS3005",
  /** The NATS server has no room left for the log. Remedy: raise `max_file` of its JetStream or free its disk; mutations wait in the ledger meanwhile. */
  LogFull: "IS3006",
  /** The site's own log refused a record. Remedy: see the server's reason in the message; the stream's settings were changed by hand, or the record is above `max_payload`. */
  LogRefused: "IS3007",
  /** The mirror that was being read is gone, or was made anew. Remedy: none needed, the reader starts again from the ledger's position. */
  MirrorReplaced: "IS3008",
  /** Another site did not answer: its process or the link is down. Remedy: see `isthmus status`; check the leaf link of the NATS servers. */
  PeerUnreachable: "IS3009",
  /** Another site answered a request with an error. Remedy: see its reason in the message. */
  PeerRefused: "IS3010",
  /** Another process of this site is active and holds the lease. Remedy: stop the process that the message names, or start this one with `--standby`. */
  LeaseHeld: "IS3011",
  /** This process was active and lost the lease to another one. Remedy: none needed, it stops; start it with `--standby` to have it wait. */
  LeaseLost: "IS3012",
  /** A message of another site cannot be read: another version of Isthmus, or not Isthmus at all. Remedy: run the same version at every site. */
  PeerMessageInvalid: "IS3013",

  /** A record in a log has a wire version that this process does not read: the sites run different releases. Remedy: bring both to the same release; the link stops meanwhile and loses nothing. */
  WireVersionUnknown: "IS3020",
  /** A record in a log cannot be decoded. Remedy: report it with the record; it is kept as a dead letter. */
  WireMalformed: "IS3021",

  /** A peer's log holds a batch that must not be there: of a cache that is local here, or of another site or cache. Nothing is applied. Remedy: find out who writes into that site's log; check that all sites run the same file. */
  BatchRefused: "IS3030",
  /** Batches of a cache cannot be applied as things are; its position stays and nothing is lost. Remedy: as the message says, mostly: run the same file at all sites, or give the cache the same encoding. */
  ReceiverBlocked: "IS3031",

  /** The site's log took no record because the one that began this process's term is not the newest any more: another process took over, or the log trimmed it. Remedy: none needed; a process without the lease ends, one that holds it begins its term again. */
  TermOver: "IS3033",
  /** The mirror of a peer's log stands still though the peer announced more. Remedy: look at the link between the sites' NATS servers; nothing is lost while the peer's log holds it. */
  MirrorStalled: "IS3032",

  /** Keys were written so often during a resync, or their cache failed, that they could not be compared. Remedy: none needed, it begins again by itself; if it lasts, `isthmus status` tells which cache fails. */
  ResyncUnsettled: "IS3034",

  /** The ledger was lost, and a site that handles the cache does not answer: nothing of the cache is captured until it does, because what only it knows would be taken for a local change. Remedy: bring that site or the link back; or start with `--without SITE` if it is gone for good. */
  RebuildWaits: "IS3035",

  /** A target is offline for a cache: an operator or the rule `limits.takeOffline` took it, so no writer waits for it; it applies what it can. Remedy: see `isthmus status` for why; it counts again by itself once it is level (after an operator, with `isthmus online`). */
  TargetOffline: "IS3036",

  /** A site had not applied what others removed from a cache for longer than `limits.tombstones.maxAge`: the tombstones went, so what it holds could bring removed keys back, and nothing of it is taken. Remedy: `isthmus resync --from SITE --to THAT_SITE --cache C --reseed --confirm THAT_SITE` replaces what it holds by what SITE has; what only it had goes to `isthmus conflicts`. */
  ReseedNeeded: "IS3037",

  /** The HTTP endpoints cannot listen on their address. Remedy: free the port that the message names, or change `sites.SITE.http.listen`. */
  HttpListen: "IS3040",
  /** None of the file's NATS servers could be reached from here. Remedy: see the reason for each site in the message; `--site` names the one to go through. */
  NoSiteReached: "IS3041",
  /** What a command had started at a site failed there. Remedy: see the reason in the message; run the command again, what was done is not done twice. */
  JobFailed: "IS3042",

  /** A site's journal has no row of that number: it was dealt with, or newer ones needed its room. Remedy: see what there is with `isthmus conflicts` or `isthmus dead-letters`. */
  JournalRowMissing: "IS3070",
  /** A site cannot do what an operator asked for. Remedy: as the message says. */
  OperationRefused: "IS3071",
  /** A process of the lab ended while it started, or did not become ready in time; all that was started is stopped again. Remedy: read the log that the message names. */
  LabProcessFailed: "IS4001",
  /** Something that the lab runs is missing on this machine and could not be fetched. Remedy: install what the message names. */
  LabPartMissing: "IS4002",
  /** A port that the lab was told to use is in use. Remedy: another `--ports`, or none for free ones. */
  LabPortTaken: "IS4003",
  /** The lab's folder holds a lab that runs in part, is being started or stopped, or runs on other ports. Remedy: `isthmus lab status` shows it, `isthmus lab down` stops what is left. */
  LabInTheWay: "IS4004",
  /** The folder is no lab's folder, or its `lab.json` cannot be read. Remedy: name the right folder; a damaged `lab.json` can be deleted once its processes are stopped. */
  LabFolderInvalid: "IS4005",
  /** No drill has this name, and no file is at this path. Remedy: `isthmus drill list` shows the names; a path ends in .yaml. */
  DrillUnknown: "IS4010",
  /** The checker of the drills did not find faults that were planted for it, or ended: its verdicts would mean nothing. Remedy: read its words in the message; check that Java runs and both caches answer. */
  DrillCheckerFailed: "IS4011",
  /** A step of a drill could not be done. Remedy: as the message says; the drill counts as failed. */
  DrillStepFailed: "IS4012",

  /** A verb or an option that does not exist. Remedy: see `isthmus --help`. */
  UsageUnknown: "IS5001",
  /** A verb was given an option's value or an argument that it cannot use, or lacks one that it needs. Remedy: see `isthmus VERB --help`. */
  UsageInvalid: "IS5002",
  /** The verb or option is part of the interface but not of this version. Remedy: see CHANGELOG for the version that brings it. */
  VerbNotAvailable: "IS5003",
} as const;

/** One of {@link ErrorCode}'s values, for example `IS2001`. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** The one error class: `code` for machines, `message` for people, `hint` for what to do, `cause` for what lies beneath. */
export class IsthmusError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "IsthmusError";
    this.code = code;
    this.hint = options.hint;
  }
}

/**
 * Assertion that stays on in production: a failure is a bug of ours, never of the user's. Text with values in it is a
 * function, because making it would cost more than the check.
 */
export function assert(condition: unknown, why: string | (() => string)): asserts condition {
  if (!condition) throw new Error(`isthmus bug: ${typeof why === "string" ? why : why()}`);
}
