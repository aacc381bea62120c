import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.infinispan.client.hotrod.RemoteCache;
import org.infinispan.client.hotrod.RemoteCacheManager;

/** Measures how long a write at one site takes to show at the other, all the time: a counter a direction, one key each. */
final class Probes {
  static final String PREFIX = "probe:";
  private static final int WRITE_MS = 100;
  private static final int READ_MS = 25;
  private static final int AWAY_MS = 500;
  /**
   * Clients hang now and then when their server dies (see infinispan-server.test.ts): then another one looks. What a hung write
   * does late is no newer than what shows.
   */
  private static final int TIMEOUT_MS = 5_000;

  private final List<Thread> threads = new ArrayList<>();
  private volatile boolean isStopped;

  Probes(List<Site> sites, String cacheName) {
    for (Site from : sites)
      for (Site to : sites) {
        if (from == to) continue;
        Client source = new Client(from, cacheName);
        Client target = new Client(to, cacheName);
        String way = from.name() + " " + to.name();
        byte[] key = (PREFIX + from.name() + ":" + to.name()).getBytes(StandardCharsets.UTF_8);
        threads.add(new Thread(() -> write(from, source, key, way)));
        threads.add(new Thread(() -> read(to, target, key, way)));
      }
  }

  /** Probes do not share the writers' connections: writers wait for nobody. */
  private static final class Client {
    private final Site site;
    private final String cacheName;
    private RemoteCacheManager manager;
    private RemoteCache<byte[], byte[]> cache;

    Client(Site site, String cacheName) {
      this.site = site;
      this.cacheName = cacheName;
    }

    RemoteCache<byte[], byte[]> cache() {
      if (cache != null) return cache;
      manager = site.connect(TIMEOUT_MS);
      cache = Site.cache(manager, cacheName);
      return cache;
    }

    /** The next operation takes another connection. */
    void drop() {
      RemoteCacheManager old = manager;
      manager = null;
      cache = null;
      // One that hangs is not waited for.
      Thread closing = new Thread(() -> close(old));
      closing.setDaemon(true);
      closing.start();
    }

    private static void close(RemoteCacheManager old) {
      if (old != null) old.close();
    }
  }

  void start() {
    for (Thread thread : threads) {
      thread.setDaemon(true);
      thread.start();
    }
  }

  void stop() {
    isStopped = true;
  }

  private void write(Site site, Client client, byte[] key, String way) {
    for (long n = 1; !isStopped; n++) {
      if (!isThere(site)) return;
      long at = System.currentTimeMillis();
      try {
        client.cache().put(key, Long.toString(n).getBytes(StandardCharsets.UTF_8));
        Writers.tell("probe " + way + " " + n + " " + at);
      } catch (RuntimeException e) {
        // Its site is away: nothing was written that could show.
        client.drop();
        sleep(AWAY_MS);
      }
      sleep(WRITE_MS);
    }
  }

  private void read(Site site, Client client, byte[] key, String way) {
    long last = 0;
    while (!isStopped) {
      if (!isThere(site)) return;
      try {
        byte[] value = client.cache().get(key);
        long n = value == null ? 0 : Long.parseLong(new String(value, StandardCharsets.UTF_8));
        if (n > last) Writers.tell("seen " + way + " " + n + " " + System.currentTimeMillis());
        last = Math.max(n, last);
      } catch (RuntimeException e) {
        // Its site is away: nothing shows there.
        client.drop();
        sleep(AWAY_MS);
      }
      sleep(READ_MS);
    }
  }

  /** Waits for the site's Infinispan; false: the probes were stopped first. */
  private boolean isThere(Site site) {
    while (Writers.isAway(site) && !isStopped) sleep(READ_MS);
    return !isStopped;
  }

  private static void sleep(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
