import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.infinispan.client.hotrod.RemoteCache;

/**
 * Writes at every site until told to stop. Each site has keys of its own, each key one thread, so the last acknowledged
 * operation on it is what must show; keys that all sites write are for comparing only. Commands come on stdin: {@code burst MS}
 * (as fast as it goes for so long, or until {@code calm}; answered once operations are in flight), {@code pace WRITES_A_SECOND}, {@code away SITE} and {@code back SITE} (nobody writes there
 * meanwhile, and then only puts until {@code heard SITE}), {@code shot SITE} (see {@link Shot}), {@code missing SITE} (see {@link Refill}), {@code survived SITE} (see
 * {@link Survivors}), {@code move SITE TO MS} (its writers write there from now on, see {@link Moves}), {@code stop}. Answers go to
 * stdout.
 */
final class Writers {
  private static final int FORCE_MS = 20;
  private static final int TELL_MS = 500;
  private static final int AWAY_MS = 50;
  private static final int FAILED_MS = 1_000;
  /** A burst goes on for so long before it is answered: then it has reached whoever is behind the caches. */
  private static final int INTO_BURST_MS = 100;

  private static final AtomicLong SEQUENCE = new AtomicLong();
  /** Sites whose Infinispan is not there. */
  private static final Set<String> AWAY = ConcurrentHashMap.newKeySet();
  /** Sites whose cache came back empty and whose Isthmus does not listen yet. */
  private static final Set<String> UNHEARD = ConcurrentHashMap.newKeySet();
  private static volatile boolean isStopped;
  private static volatile long burstUntil;
  private static volatile double perThread;
  private static final AtomicLong IN_FLIGHT = new AtomicLong();
  private static final AtomicLong FAILED = new AtomicLong();
  private static volatile String fault = "-";

  private Writers() {}

  static void main(String[] args) throws Exception {
    Options options = new Options(args);
    List<Site> sites = options.writtenAt();
    int threads = options.number("threads");
    perThread = options.number("rate") / (double) (threads * sites.size());
    Journal journal = new Journal(Path.of(options.text("journal")));
    Map<String, RemoteCache<byte[], byte[]>> caches = new HashMap<>();
    List<Thread> writers = new ArrayList<>();
    for (Site site : sites)
      caches.put(site.name(), Site.cache(site.connect(), options.text("cache")));
    for (Site site : sites) {
      for (int i = 0; i < threads; i++) {
        int thread = i;
        writers.add(new Thread(() -> write(options, site, thread, threads, caches, journal)));
      }
    }
    Thread flusher = new Thread(() -> force(journal));
    flusher.setDaemon(true);
    flusher.start();
    Probes probes = new Probes(options.sites(), options.text("cache"));
    probes.start();
    for (Thread writer : writers) writer.start();
    tell("ready");
    obey(threads, threads * sites.size(), options);
    for (Thread writer : writers) writer.join();
    probes.stop();
    journal.close();
    tell("stopped " + journal.acknowledged() + " " + FAILED.get() + " " + fault);
  }

  /** While a site's Infinispan is away: one that starts takes requests too early, logs each at length, and may never be ready. */
  static boolean isAway(Site site) {
    return AWAY.contains(site.name());
  }

  static synchronized void tell(String line) {
    System.out.println(line);
    System.out.flush();
  }

  private static void obey(int threadsOfSite, int threads, Options options) throws IOException, InterruptedException {
    BufferedReader commands =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      String[] words = line.split(" ");
      switch (words[0]) {
        case "burst" -> tell("burst " + burst(Long.parseLong(words[1])));
        case "calm" -> burstUntil = System.nanoTime();
        case "pace" -> perThread = Double.parseDouble(words[1]) / threads;
        case "shot" -> {
          Shot.take(words[1], options.sites(), options.text("cache"), options.shots());
          tell("shot " + words[1]);
        }
        case "missing" -> {
          long missing = Refill.missing(words[1], options.sites(), options.text("cache"));
          tell("missing " + words[1] + " " + missing);
        }
        case "survived" ->
            tell("survived " + Survivors.of(words[1], options.sites(), options.text("cache")));
        case "move" -> {
          long msMax = Long.parseLong(words[3]);
          tell("moved " + Moves.move(words[1], words[2], threadsOfSite, msMax));
        }
        case "away" -> AWAY.add(words[1]);
        case "back" -> {
          UNHEARD.add(words[1]);
          AWAY.remove(words[1]);
        }
        case "heard" -> UNHEARD.remove(words[1]);
        case "stop" -> {
          isStopped = true;
          return;
        }
        default -> throw new IllegalArgumentException("unknown command " + line);
      }
    }
    // The runner is gone.
    isStopped = true;
  }

  /** How many operations are in flight, which is 0 only if none was within the burst's time. */
  private static long burst(long ms) {
    long begin = System.nanoTime();
    burstUntil = begin + ms * 1_000_000;
    rest(INTO_BURST_MS);
    while (IN_FLIGHT.get() == 0 && System.nanoTime() < burstUntil) rest(1);
    return IN_FLIGHT.get();
  }

  private static void force(Journal journal) {
    try {
      for (int i = 0; !isStopped; i++) {
        journal.force();
        if (i % (TELL_MS / FORCE_MS) == 0)
          tell("acked " + journal.acknowledged() + " " + FAILED.get());
        Thread.sleep(FORCE_MS);
      }
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException("the journal cannot be written", e);
    }
  }

  private static void write(
      Options options,
      Site site,
      int thread,
      int threads,
      Map<String, RemoteCache<byte[], byte[]>> caches,
      Journal journal) {
    int keys = options.number("keys") / threads;
    int shared = options.number("conflictKeys");
    int removePercent = options.number("removes");
    int sharedPercent = shared == 0 ? 0 : options.number("conflicts");
    SplittableRandom random = new SplittableRandom(site.name().hashCode() * 1000L + thread);
    double due = System.nanoTime();
    while (!isStopped) {
      due = pause(due, random);
      while (isAway(site) && Moves.of(site).equals(site.name()) && !isStopped) rest(AWAY_MS);
      String key =
          random.nextInt(100) < sharedPercent
              ? "shared:" + random.nextInt(shared)
              : site.name() + ":" + thread + ":" + random.nextInt(keys);
      // To remove a key that an emptied cache does not hold changes nothing there: unheard it leaves no trace.
      boolean isPut = random.nextInt(100) >= removePercent || UNHEARD.contains(site.name());
      Moves.answered(one(site, key, isPut, caches.get(Moves.of(site)), journal), thread);
    }
  }

  /** Waits for the next operation's turn; what a stall held up is not made up for. */
  private static double pause(double due, SplittableRandom random) {
    double interval = 1e9 / perThread;
    double next = Math.max(due + interval * (0.5 + random.nextDouble()), System.nanoTime() - interval);
    try {
      while (!isStopped && System.nanoTime() < next && System.nanoTime() > burstUntil) {
        long left = (long) (next - System.nanoTime()) / 1_000_000;
        Thread.sleep(Math.max(1, Math.min(left, 10)));
      }
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
    return next;
  }

  private static Journal.Line one(
      Site site, String key, boolean isPut, RemoteCache<byte[], byte[]> cache, Journal journal) {
    long seq = SEQUENCE.incrementAndGet();
    byte[] keyBytes = key.getBytes(StandardCharsets.UTF_8);
    long from = System.currentTimeMillis();
    boolean isAcknowledged = true;
    IN_FLIGHT.incrementAndGet();
    try {
      if (isPut) cache.put(keyBytes, Values.of(key, seq));
      else cache.remove(keyBytes);
    } catch (RuntimeException e) {
      isAcknowledged = false;
      FAILED.incrementAndGet();
      fault = e.toString().replaceAll("\\s+", " ");
    } finally {
      IN_FLIGHT.decrementAndGet();
    }
    long to = System.currentTimeMillis();
    Journal.Line line = new Journal.Line(isAcknowledged, seq, isPut, site.name(), key, from, to);
    journal.add(line);
    Survivors.add(line);
    // What fails once fails again at once.
    if (!isAcknowledged) rest(FAILED_MS);
    return line;
  }

  private static void rest(int ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
