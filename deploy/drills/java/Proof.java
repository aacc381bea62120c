import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.infinispan.client.hotrod.RemoteCache;
import org.infinispan.client.hotrod.RemoteCacheManager;

/**
 * Shows that the verdict can fail: on a cache that nothing replicates, keys are written alike at both sites and recorded, and
 * found sound; then one is deleted, one altered and one brought back behind the journal's back, and exactly those must be found.
 */
final class Proof {
  private static final int KEYS = 50;

  private Proof() {}

  static void main(String[] args) throws Exception {
    Options options = new Options(args);
    List<Site> sites = options.sites();
    String name = options.text("cache");
    Path path = Path.of(options.text("journal"));
    Files.deleteIfExists(path);
    List<RemoteCacheManager> managers = sites.stream().map(Site::connect).toList();
    List<RemoteCache<byte[], byte[]>> caches = managers.stream().map(m -> Site.cache(m, name)).toList();
    caches.forEach(RemoteCache::clear);
    try (Journal journal = new Journal(path)) {
      for (int i = 0; i < KEYS; i++) put(caches, journal, key(i), i + 1);
      for (RemoteCache<byte[], byte[]> cache : caches) cache.remove(bytes(key(2)));
      journal.add(new Journal.Line(true, KEYS + 1, false, sites.get(0).name(), key(2), 1, 1));
    }
    expect("a sound cache", Map.of(), options, path);
    excuses(options, Journal.read(path));
    caches.get(0).remove(bytes(key(0)));
    byte[] altered = Values.of(key(1), 2);
    altered[altered.length - 1] ^= 1;
    caches.get(0).put(bytes(key(1)), altered);
    caches.get(0).put(bytes(key(2)), Values.of(key(2), 3));
    Map<String, Integer> planted = Map.of("lost", 1, "altered", 1, "resurrected", 1, "differing", 3);
    expect("planted faults", planted, options, path);
    for (RemoteCache<byte[], byte[]> cache : caches) cache.clear();
    managers.forEach(RemoteCacheManager::close);
    System.out.println("proved " + planted);
  }

  private static void put(
      List<RemoteCache<byte[], byte[]>> caches, Journal journal, String key, long seq) {
    for (RemoteCache<byte[], byte[]> cache : caches) cache.put(bytes(key), Values.of(key, seq));
    journal.add(new Journal.Line(true, seq, true, "proof", key, 1, 1));
  }

  /** A write is gone, at all sites: excused only if it may be, and no other site had it. */
  private static void excuses(Options options, List<Journal.Line> sound) {
    Journal.Line gone = new Journal.Line(true, KEYS + 2, true, "proof", key(4), 1_000, 1_000);
    List<Journal.Line> lines = new ArrayList<>(sound);
    lines.add(gone);
    List<Verdict.Window> windows = List.of(new Verdict.Window("proof", 900, 1_100, 1_200));
    List<Verdict.Window> later = List.of(new Verdict.Window("proof", 1_001, 1_100, 1_200));
    List<Shot> without = List.of(new Shot("proof", Map.of(key(4), 5L), 2_000));
    List<Shot> with = List.of(new Shot("proof", Map.of(key(4), gone.seq()), 2_000));
    Map<String, Integer> lost = Map.of("lost", options.sites().size());
    expect("a write that is gone", lost, options, lines, List.of(), List.of());
    expect("one that may be gone", Map.of(), options, lines, windows, without);
    expect("one that was acknowledged too early for that", lost, options, lines, later, without);
    expect("one that another site had", lost, options, lines, windows, with);
  }

  private static void expect(String what, Map<String, Integer> faults, Options options, Path path)
      throws Exception {
    expect(what, faults, options, Journal.read(path), List.of(), List.of());
  }

  private static void expect(
      String what,
      Map<String, Integer> faults,
      Options options,
      List<Journal.Line> lines,
      List<Verdict.Window> windows,
      List<Shot> shots) {
    Verdict verdict =
        Verdict.judge(lines, windows, shots, options.sites(), options.text("cache"));
    if (!verdict.counts().equals(faults))
      throw new IllegalStateException(
          "the checker is blind: of " + what + " it found " + verdict.faults() + ", not " + faults);
  }

  private static String key(int i) {
    return "proof:" + i;
  }

  private static byte[] bytes(String key) {
    return key.getBytes(StandardCharsets.UTF_8);
  }
}
