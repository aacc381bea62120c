import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What the writers did, one line an operation: outcome ({@code ok}, or {@code ?} where it is not known whether it was done),
 * sequence, put or remove, site, key, ms it began, ms it ended. Lines are forced to disk together, and count only then.
 */
final class Journal implements AutoCloseable {
  /** One operation. */
  record Line(
      boolean isAcknowledged, long seq, boolean isPut, String site, String key, long from, long to) {}

  private final FileChannel file;
  private final AtomicLong acknowledged = new AtomicLong();
  private StringBuilder waiting = new StringBuilder();
  private long waitingAcknowledged;

  Journal(Path path) throws IOException {
    file = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
  }

  synchronized void add(Line line) {
    waiting
        .append(line.isAcknowledged ? "ok " : "? ")
        .append(line.seq)
        .append(line.isPut ? " put " : " remove ")
        .append(line.site)
        .append(' ')
        .append(line.key)
        .append(' ')
        .append(line.from)
        .append(' ')
        .append(line.to)
        .append('\n');
    if (line.isAcknowledged) waitingAcknowledged++;
  }

  /** Forces what gathered to disk. */
  void force() throws IOException {
    StringBuilder lines;
    long count;
    synchronized (this) {
      lines = waiting;
      count = waitingAcknowledged;
      waiting = new StringBuilder();
      waitingAcknowledged = 0;
    }
    if (lines.isEmpty()) return;
    ByteBuffer bytes = ByteBuffer.wrap(lines.toString().getBytes(StandardCharsets.UTF_8));
    while (bytes.hasRemaining()) file.write(bytes);
    file.force(false);
    acknowledged.addAndGet(count);
  }

  /** Acknowledged operations that are on disk. */
  long acknowledged() {
    return acknowledged.get();
  }

  @Override
  public void close() throws IOException {
    force();
    file.close();
  }

  static List<Line> read(Path path) throws IOException {
    List<Line> lines = new ArrayList<>();
    for (String text : Files.readAllLines(path)) {
      String[] f = text.split(" ");
      lines.add(
          new Line(
              f[0].equals("ok"),
              Long.parseLong(f[1]),
              f[2].equals("put"),
              f[3],
              f[4],
              Long.parseLong(f[5]),
              Long.parseLong(f[6])));
    }
    return lines;
  }
}
