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

  private final List<Thread> threads = new ArrayList<>();
  private final List<RemoteCacheManager> managers = new ArrayList<>();
  private volatile boolean isStopped;

  Probes(List<Site> sites, String cacheName) {
    for (Site from : sites)
      for (Site to : sites) {
        if (from == to) continue;
        RemoteCache<byte[], byte[]> source = cache(from, cacheName);
        RemoteCache<byte[], byte[]> target = cache(to, cacheName);
        String way = from.name() + " " + to.name();
        byte[] key = (PREFIX + from.name() + ":" + to.name()).getBytes(StandardCharsets.UTF_8);
        threads.add(new Thread(() -> write(from, source, key, way)));
        threads.add(new Thread(() -> read(to, target, key, way)));
      }
  }

  /** Probes do not share the writers' connections: writers wait for nobody. */
  private RemoteCache<byte[], byte[]> cache(Site site, String cacheName) {
    RemoteCacheManager manager = site.connect();
    managers.add(manager);
    return Site.cache(manager, cacheName);
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

  private void write(Site site, RemoteCache<byte[], byte[]> cache, byte[] key, String way) {
    for (long n = 1; !isStopped; n++) {
      if (!isThere(site)) return;
      long at = System.currentTimeMillis();
      try {
        cache.put(key, Long.toString(n).getBytes(StandardCharsets.UTF_8));
        Writers.tell("probe " + way + " " + n + " " + at);
      } catch (RuntimeException e) {
        // Its site is away: nothing was written that could show.
        sleep(AWAY_MS);
      }
      sleep(WRITE_MS);
    }
  }

  private void read(Site site, RemoteCache<byte[], byte[]> cache, byte[] key, String way) {
    long last = 0;
    while (!isStopped) {
      if (!isThere(site)) return;
      try {
        byte[] value = cache.get(key);
        long n = value == null ? 0 : Long.parseLong(new String(value, StandardCharsets.UTF_8));
        if (n > last) Writers.tell("seen " + way + " " + n + " " + System.currentTimeMillis());
        last = Math.max(n, last);
      } catch (RuntimeException e) {
        // Its site is away: nothing shows there.
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
