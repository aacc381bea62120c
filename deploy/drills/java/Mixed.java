import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.infinispan.client.hotrod.Flag;
import org.infinispan.client.hotrod.MetadataValue;
import org.infinispan.client.hotrod.RemoteCache;
import org.infinispan.client.hotrod.RemoteCacheManager;
import org.infinispan.client.hotrod.RemoteCounterManagerFactory;
import org.infinispan.client.hotrod.annotation.ClientCacheEntryCreated;
import org.infinispan.client.hotrod.annotation.ClientCacheEntryModified;
import org.infinispan.client.hotrod.annotation.ClientCacheEntryRemoved;
import org.infinispan.client.hotrod.annotation.ClientListener;
import org.infinispan.client.hotrod.event.ClientEvent;
import org.infinispan.commons.util.CloseableIterator;
import org.infinispan.counter.api.CounterConfiguration;
import org.infinispan.counter.api.CounterManager;
import org.infinispan.counter.api.CounterType;
import org.infinispan.counter.api.StrongCounter;

/**
 * Every kind of operation that the Java client has, at random, through the front doors of all sites. Each thread has keys of its
 * own and knows what each holds, so an answer that belongs to another request, or has another byte, is seen at once. Tells every
 * second {@code mixed OPERATIONS ERRORS WRONG}; ends by {@code stop} on stdin, with the same and one example of each fault.
 */
final class Mixed {
  private static final int KEYS = 48;
  private static final int VALUE_BYTES_MAX = 4_000;
  private static final int LARGE_BYTES = 150_000;
  private static final int AT_ONCE = 16;
  private static final int TELL_MS = 1_000;
  private static final int EXAMPLES_MAX = 20;
  /** Longer than a hold: what takes longer is a fault. */
  private static final int TIMEOUT_MS = 20_000;
  private static final long LIFESPAN_S = 86_400;

  private static final AtomicLong OPERATIONS = new AtomicLong();
  private static final AtomicLong ERRORS = new AtomicLong();
  private static final AtomicLong WRONG = new AtomicLong();
  private static final AtomicLong EVENTS = new AtomicLong();
  private static final AtomicLong LONGEST_MS = new AtomicLong();
  private static final Map<String, AtomicLong> KINDS = new ConcurrentHashMap<>();
  private static final Set<String> EXAMPLES = ConcurrentHashMap.newKeySet();
  private static volatile boolean isStopped;

  private final RemoteCache<byte[], byte[]> cache;
  private final StrongCounter counter;
  private final String prefix;
  private final SplittableRandom random;
  private final double perSecond;
  private final Map<Integer, byte[]> held = new HashMap<>();
  private long counted;

  private Mixed(
      RemoteCache<byte[], byte[]> cache,
      StrongCounter counter,
      String prefix,
      double perSecond,
      long seed) {
    this.cache = cache;
    this.counter = counter;
    this.prefix = prefix;
    this.perSecond = perSecond;
    this.random = new SplittableRandom(seed);
  }

  static void main(String[] args) throws Exception {
    Options options = new Options(args);
    int threads = options.number("threads");
    double perThread = options.number("rate") / (double) (threads * options.writtenAt().size());
    List<Thread> workers = new ArrayList<>();
    List<Heard> listeners = new ArrayList<>();
    for (Site site : options.writtenAt()) {
      RemoteCacheManager manager = site.connect(TIMEOUT_MS);
      RemoteCache<byte[], byte[]> cache = Site.cache(manager, options.text("cache"));
      Heard heard = new Heard();
      cache.addClientListener(heard);
      listeners.add(heard);
      CounterManager counters = RemoteCounterManagerFactory.asCounterManager(manager);
      for (int i = 0; i < threads; i++) {
        String prefix = site.name() + ":" + i + ":";
        String name = "soak-" + site.name() + "-" + i;
        counters.defineCounter(
            name, CounterConfiguration.builder(CounterType.UNBOUNDED_STRONG).build());
        Mixed mixed =
            new Mixed(cache, counters.getStrongCounter(name), prefix, perThread, name.hashCode());
        workers.add(new Thread(mixed::run));
      }
    }
    for (Thread worker : workers) worker.start();
    Thread teller = new Thread(Mixed::tellOften);
    teller.setDaemon(true);
    teller.start();
    BufferedReader commands =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine())
      if (line.equals("stop")) break;
    isStopped = true;
    for (Thread worker : workers) worker.join();
    System.out.println(json());
  }

  private static void tellOften() {
    try {
      while (!isStopped) {
        Writers.tell("mixed " + OPERATIONS.get() + " " + ERRORS.get() + " " + WRONG.get());
        Thread.sleep(TELL_MS);
      }
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static String json() {
    List<String> kinds = new ArrayList<>();
    KINDS.forEach((kind, count) -> kinds.add("\"" + kind + "\":" + count.get()));
    List<String> examples = new ArrayList<>();
    for (String example : EXAMPLES)
      examples.add("\"" + example.replaceAll("[\\\\\"\\s]+", " ") + "\"");
    return ("{\"operations\":" + OPERATIONS.get())
        + (",\"errors\":" + ERRORS.get())
        + (",\"wrong\":" + WRONG.get())
        + (",\"events\":" + EVENTS.get())
        + (",\"longestMs\":" + LONGEST_MS.get())
        + (",\"kinds\":{" + String.join(",", kinds) + "}")
        + (",\"examples\":[" + String.join(",", examples) + "]}");
  }

  private void run() {
    double due = System.nanoTime();
    try {
      while (!isStopped) {
        due = Math.max(due + 1e9 / perSecond * (0.5 + random.nextDouble()), System.nanoTime());
        long ms = (long) (due - System.nanoTime()) / 1_000_000;
        if (ms > 0) Thread.sleep(ms);
        one();
      }
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  /** One operation of a kind drawn by its share. */
  private void one() {
    int n = random.nextInt(KEYS);
    int draw = random.nextInt(1_000);
    if (draw < 250) timed("get", () -> expect(n, cache.get(key(n)), "get"));
    else if (draw < 400) timed("put", () -> put(n, value()));
    else if (draw < 450) timed("put with lifespan", () -> putWithLifespan(n));
    else if (draw < 510) timed("remove", () -> remove(n));
    else if (draw < 560) timed("putIfAbsent", () -> putIfAbsent(n));
    else if (draw < 610) timed("replace", () -> replace(n));
    else if (draw < 660) timed("replaceWithVersion", () -> withVersion(n, true));
    else if (draw < 690) timed("removeWithVersion", () -> withVersion(n, false));
    else if (draw < 740) timed("containsKey", () -> contains(n));
    else if (draw < 790) timed("put that returns", () -> putThatReturns(n));
    else if (draw < 820) timed("remove that returns", () -> removeThatReturns(n));
    else if (draw < 850) timed("putAll", this::putAll);
    else if (draw < 880) timed("getAll", this::getAll);
    else if (draw < 930) timed("at once", this::atOnce);
    else if (draw < 960) timed("counter", this::count);
    else if (draw < 970) timed("large value", () -> put(n, bytes(LARGE_BYTES)));
    else if (draw < 980) timed("stream", () -> stream(n));
    else if (draw < 984) timed("iteration", this::iterate);
    else if (draw < 988) timed("size", () -> cache.size());
    else if (draw < 992) timed("statistics", () -> cache.serverStatistics().getStatsMap());
    else timed("get with metadata", () -> expect(n, valueOf(cache.getWithMetadata(key(n))), "metadata"));
  }

  private interface Work {
    void run() throws Exception;
  }

  private static void timed(String kind, Work work) {
    long begin = System.currentTimeMillis();
    try {
      work.run();
    } catch (Exception e) {
      ERRORS.incrementAndGet();
      example(kind + ": " + e);
    }
    long took = System.currentTimeMillis() - begin;
    LONGEST_MS.accumulateAndGet(took, Math::max);
    OPERATIONS.incrementAndGet();
    KINDS.computeIfAbsent(kind, name -> new AtomicLong()).incrementAndGet();
  }

  private static void example(String what) {
    if (EXAMPLES.size() < EXAMPLES_MAX) EXAMPLES.add(what.length() > 300 ? what.substring(0, 300) : what);
  }

  private void expect(int n, byte[] found, String what) {
    byte[] wanted = held.get(n);
    if (Arrays.equals(found, wanted)) return;
    wrong(what + " of " + prefix + n + ": " + inShort(found) + " where " + inShort(wanted) + " was written");
    // Told once: from now on what shows is what is expected.
    hold(n, found);
  }

  private void expect(boolean isAsWanted, String what) {
    if (!isAsWanted) wrong(what + " of " + prefix);
  }

  private static void wrong(String what) {
    WRONG.incrementAndGet();
    example("wrong answer: " + what);
  }

  private static String inShort(byte[] value) {
    return value == null ? "nothing" : value.length + " bytes " + Arrays.hashCode(value);
  }

  private byte[] key(int n) {
    return (prefix + n).getBytes(StandardCharsets.UTF_8);
  }

  private byte[] value() {
    return bytes(1 + random.nextInt(VALUE_BYTES_MAX));
  }

  private byte[] bytes(int length) {
    byte[] value = new byte[length];
    random.nextBytes(value);
    return value;
  }

  private void hold(int n, byte[] value) {
    if (value == null) held.remove(n);
    else held.put(n, value);
  }

  private static byte[] valueOf(MetadataValue<byte[]> found) {
    return found == null ? null : found.getValue();
  }

  private void put(int n, byte[] value) {
    cache.put(key(n), value);
    hold(n, value);
  }

  private void putWithLifespan(int n) {
    byte[] value = value();
    cache.put(key(n), value, LIFESPAN_S, TimeUnit.SECONDS);
    hold(n, value);
  }

  private void remove(int n) {
    cache.remove(key(n));
    hold(n, null);
  }

  private void putIfAbsent(int n) {
    byte[] value = value();
    byte[] before = cache.withFlags(Flag.FORCE_RETURN_VALUE).putIfAbsent(key(n), value);
    expect(n, before, "what putIfAbsent found");
    if (before == null) hold(n, value);
  }

  private void replace(int n) {
    byte[] value = value();
    byte[] before = cache.withFlags(Flag.FORCE_RETURN_VALUE).replace(key(n), value);
    expect(n, before, "what replace found");
    if (before != null) hold(n, value);
  }

  private void withVersion(int n, boolean isReplace) {
    MetadataValue<byte[]> found = cache.getWithMetadata(key(n));
    expect(n, valueOf(found), "metadata");
    if (found == null) return;
    byte[] value = isReplace ? value() : null;
    boolean isDone =
        isReplace
            ? cache.replaceWithVersion(key(n), value, found.getVersion())
            : cache.removeWithVersion(key(n), found.getVersion());
    // A write of Isthmus brings a new version now and then, and then it is not done.
    if (isDone) hold(n, value);
    else expect(n, cache.get(key(n)), "what a refused change left");
  }

  private void contains(int n) {
    expect(cache.containsKey(key(n)) == held.containsKey(n), "containsKey " + n);
  }

  private void putThatReturns(int n) {
    byte[] value = value();
    expect(n, cache.withFlags(Flag.FORCE_RETURN_VALUE).put(key(n), value), "what put replaced");
    hold(n, value);
  }

  private void removeThatReturns(int n) {
    expect(n, cache.withFlags(Flag.FORCE_RETURN_VALUE).remove(key(n)), "what remove took");
    hold(n, null);
  }

  private void putAll() {
    Map<byte[], byte[]> entries = new HashMap<>();
    Map<Integer, byte[]> written = new HashMap<>();
    for (int i = 0; i < 10; i++) {
      int n = random.nextInt(KEYS);
      if (written.containsKey(n)) continue;
      byte[] value = value();
      written.put(n, value);
      entries.put(key(n), value);
    }
    cache.putAll(entries);
    written.forEach(this::hold);
  }

  private void getAll() {
    Map<String, Integer> asked = new HashMap<>();
    for (int i = 0; i < 10; i++) {
      int n = random.nextInt(KEYS);
      asked.put(prefix + n, n);
    }
    Set<byte[]> keys = ConcurrentHashMap.newKeySet();
    asked.values().forEach(n -> keys.add(key(n)));
    Map<String, byte[]> found = new HashMap<>();
    cache.getAll(keys).forEach((k, v) -> found.put(new String(k, StandardCharsets.UTF_8), v));
    asked.forEach((name, n) -> expect(n, found.get(name), "getAll"));
  }

  /** Many requests on their way at once, answered in whatever order. */
  private void atOnce() throws Exception {
    Map<Integer, CompletableFuture<byte[]>> gets = new HashMap<>();
    Map<Integer, byte[]> puts = new HashMap<>();
    List<CompletableFuture<?>> all = new ArrayList<>();
    for (int i = 0; i < AT_ONCE; i++) {
      int n = random.nextInt(KEYS);
      if (gets.containsKey(n) || puts.containsKey(n)) continue;
      if (random.nextBoolean()) {
        CompletableFuture<byte[]> got = cache.getAsync(key(n));
        gets.put(n, got);
        all.add(got);
      } else {
        byte[] value = value();
        puts.put(n, value);
        all.add(cache.putAsync(key(n), value));
      }
    }
    CompletableFuture.allOf(all.toArray(new CompletableFuture<?>[0])).get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
    puts.forEach(this::hold);
    for (Map.Entry<Integer, CompletableFuture<byte[]>> got : gets.entrySet())
      expect(got.getKey(), got.getValue().get(), "one of many gets");
  }

  private void count() throws Exception {
    long now = counter.addAndGet(1).get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
    if (now != ++counted) {
      wrong("counter of " + prefix + " is " + now + " not " + counted);
      counted = now;
    }
  }

  private void stream(int n) throws Exception {
    byte[] value = bytes(LARGE_BYTES);
    try (OutputStream out = cache.streaming().put(key(n))) {
      out.write(value);
    }
    hold(n, value);
    try (InputStream in = cache.streaming().get(key(n))) {
      expect(n, in == null ? null : in.readAllBytes(), "stream");
    }
  }

  private void iterate() {
    int own = 0;
    try (CloseableIterator<Map.Entry<Object, MetadataValue<Object>>> all =
        cache.retrieveEntriesWithMetadata(null, 64)) {
      while (all.hasNext())
        if (new String((byte[]) all.next().getKey(), StandardCharsets.UTF_8).startsWith(prefix)) own++;
    }
    expect(own == held.size(), "an iteration found " + own + " of " + held.size());
  }

  /** Events come between answers, on the same connections. */
  @ClientListener
  static final class Heard {
    @ClientCacheEntryCreated
    @ClientCacheEntryModified
    @ClientCacheEntryRemoved
    public void on(ClientEvent event) {
      EVENTS.incrementAndGet();
    }
  }
}
