import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What the other sites hold of the keys that one site alone writes, while that one's Infinispan is dead: nothing of it may be
 * lost later. One line a key (with the sequence of the write that shows), then one with the site and the time.
 */
record Shot(String site, Map<String, Long> shown, long at) {
  /** Adds one to the file. */
  static void take(String dead, List<Site> sites, String cacheName, Path file) throws IOException {
    long at = System.currentTimeMillis();
    Map<String, Long> shown = new HashMap<>();
    for (Site site : sites) {
      if (site.name().equals(dead)) continue;
      for (Map.Entry<String, byte[]> entry : site.contents(cacheName).entrySet()) {
        String key = entry.getKey();
        if (!key.startsWith(dead + ":")) continue;
        shown.merge(key, Values.sequenceOf(key, entry.getValue()), Math::max);
      }
    }
    StringBuilder lines = new StringBuilder();
    shown.forEach((key, seq) -> lines.append("key ").append(key).append(' ').append(seq).append('\n'));
    lines.append("shot ").append(dead).append(' ').append(at).append('\n');
    byte[] bytes = lines.toString().getBytes(StandardCharsets.UTF_8);
    Files.write(file, bytes, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** All that were taken; none when there is no file. */
  static List<Shot> read(Path file) throws IOException {
    List<Shot> shots = new ArrayList<>();
    if (!Files.exists(file)) return shots;
    Map<String, Long> shown = new HashMap<>();
    for (String line : Files.readAllLines(file)) {
      String[] f = line.split(" ");
      if (f[0].equals("key")) {
        shown.put(f[1], Long.parseLong(f[2]));
        continue;
      }
      shots.add(new Shot(f[1], shown, Long.parseLong(f[2])));
      shown = new HashMap<>();
    }
    return shots;
  }

  /**
   * Whether a key cannot show this operation of its site in the end: when the shot was taken, the other sites had a newer one.
   *
   * @param line what shows in the end; null: nothing does, and no operation explains it
   * @param isSettled whether the operation had surely reached the other sites before the shot
   */
  boolean contradicts(String key, Journal.Line line, boolean isSettled) {
    long seq = shown.getOrDefault(key, 0L);
    if (line == null) return seq > 0;
    if (!line.site().equals(site) || line.to() > at) return false;
    // Nothing was there any more of what had been there: a remove had come.
    return seq == 0 ? line.isPut() && isSettled : seq > line.seq();
  }
}
