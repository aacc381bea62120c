import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.infinispan.client.hotrod.DataFormat;
import org.infinispan.client.hotrod.MetadataValue;
import org.infinispan.client.hotrod.RemoteCache;
import org.infinispan.client.hotrod.RemoteCacheManager;
import org.infinispan.client.hotrod.configuration.ConfigurationBuilder;
import org.infinispan.commons.dataconversion.MediaType;
import org.infinispan.commons.marshall.IdentityMarshaller;
import org.infinispan.commons.util.CloseableIterator;

/** One site's Infinispan as a client sees it. */
record Site(String name, String address) {
  /**
   * Longer than any fault lasts: an operation that the client gave up could still be done behind the back of later ones. A
   * server that dies closes its connections, so its operations fail at once, and for good.
   */
  private static final int SOCKET_TIMEOUT_MS = 300_000;

  private static final MediaType TYPE = MediaType.fromString("application/x-protostream");

  RemoteCacheManager connect() {
    return connect(SOCKET_TIMEOUT_MS);
  }

  RemoteCacheManager connect(int timeoutMs) {
    ConfigurationBuilder builder = new ConfigurationBuilder();
    // A repeated operation would hide that the first one's outcome is not known.
    builder.addServers(address).marshaller(IdentityMarshaller.INSTANCE).maxRetries(0);
    builder.socketTimeout(timeoutMs);
    return new RemoteCacheManager(builder.build());
  }

  /** Keys and values pass as the bytes they are. */
  static RemoteCache<byte[], byte[]> cache(RemoteCacheManager manager, String cacheName) {
    DataFormat asIs =
        DataFormat.builder()
            .keyType(TYPE)
            .keyMarshaller(IdentityMarshaller.INSTANCE)
            .valueType(TYPE)
            .valueMarshaller(IdentityMarshaller.INSTANCE)
            .build();
    return manager.<byte[], byte[]>getCache(cacheName).withDataFormat(asIs);
  }

  /** All that the cache holds, probes left out. */
  Map<String, byte[]> contents(String cacheName) {
    Map<String, byte[]> found = new HashMap<>();
    try (RemoteCacheManager manager = connect();
        CloseableIterator<Map.Entry<Object, MetadataValue<Object>>> all =
            cache(manager, cacheName).retrieveEntriesWithMetadata(null, 512)) {
      while (all.hasNext()) {
        Map.Entry<Object, MetadataValue<Object>> entry = all.next();
        String key = new String((byte[]) entry.getKey(), StandardCharsets.UTF_8);
        if (!key.startsWith(Probes.PREFIX)) found.put(key, (byte[]) entry.getValue().getValue());
      }
    }
    return found;
  }
}
