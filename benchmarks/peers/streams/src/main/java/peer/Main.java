package peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.Stores;

/**
 * BOOTSTRAP SCHEMAS STATE NAME: the same verifier on Kafka Streams' Processor API. One processor takes the three topics and
 * keeps its cells in one RocksDB store with a cache and a changelog topic; a thread for each core.
 */
public final class Main {
  static final String CHANGES = "commerce.public.accounts";
  static final String[] SINKS = {"warehouse-one", "warehouse-two"};
  static final String STORE = "cells";

  public static void main(String[] told) throws Exception {
    Schemas schemas = new Schemas(Path.of(told[1]));
    KafkaStreams streams = new KafkaStreams(topology(schemas, told[3]), settings(told[0], told[2], told[3]));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(60))));
    streams.start();
  }

  static Topology topology(Schemas schemas, String verdicts) {
    var bytes = new ByteArrayDeserializer();
    var store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(STORE), Serdes.ByteArray(), Serdes.ByteArray())
        .withLoggingEnabled(Map.of())
        .withCachingEnabled();
    ProcessorSupplier<byte[], byte[], byte[], byte[]> verifier = () -> new Verifier(schemas);
    return new Topology()
        .addSource("records", bytes, bytes, CHANGES, "receipts." + SINKS[0], "receipts." + SINKS[1])
        .addProcessor("verifier", verifier, "records")
        .addStateStore(store, "verifier")
        .addSink("verdicts", verdicts, new ByteArraySerializer(), new ByteArraySerializer(), "verifier");
  }

  static Properties settings(String bootstrap, String state, String name) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, state);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors());
    settings.put("auto.offset.reset", "earliest");
    return settings;
  }
}
