import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** How much of what the other sites hold a site's cache, which came back empty, is still without, while all are written. */
final class Refill {
  /** Longer than what is in flight takes: what did not change for so long is not in flight, in ms. */
  private static final int STILL_MS = 1_000;

  private Refill() {}

  /** Keys that the other sites have held unchanged for a while, and this one holds not or otherwise. */
  static long missing(String at, List<Site> sites, String cacheName) throws InterruptedException {
    Map<String, byte[]> before = others(at, sites, cacheName);
    Thread.sleep(STILL_MS);
    Map<String, byte[]> here = new HashMap<>();
    for (Site site : sites) if (site.name().equals(at)) here.putAll(site.contents(cacheName));
    Map<String, byte[]> after = others(at, sites, cacheName);
    return before.entrySet().stream()
        .filter(entry -> Arrays.equals(entry.getValue(), after.get(entry.getKey())))
        .filter(entry -> !Arrays.equals(entry.getValue(), here.get(entry.getKey())))
        .count();
  }

  private static Map<String, byte[]> others(String at, List<Site> sites, String cacheName) {
    Map<String, byte[]> all = new HashMap<>();
    for (Site site : sites) if (!site.name().equals(at)) all.putAll(site.contents(cacheName));
    return all;
  }
}
