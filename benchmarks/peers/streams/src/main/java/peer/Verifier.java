package peer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * One source partition. A cell of the store: by the change's offset (8 bytes, big-endian) which of change and receipts were
 * read (1 byte, a bit each), and their fingerprints (3 x 8 bytes). A cell that is complete is deleted; one that is there still
 * below both fences lacks a receipt.
 */
final class Verifier implements Processor<byte[], byte[], byte[], byte[]> {
  private static final AtomicBoolean IS_READING = new AtomicBoolean();
  private static final int CELL_BYTES = 25, ALL = 0b111;

  private final Schemas.Reader reader;
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<byte[], byte[]> store;
  private long read;
  private long judged;
  private final long[] fences = new long[Main.SINKS.length];

  Verifier(Schemas schemas) {
    reader = schemas.new Reader();
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    store = context.getStateStore(Main.STORE);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    if (IS_READING.compareAndSet(false, true)) System.out.println("reading");
    RecordMetadata metadata = context.recordMetadata().orElseThrow();
    GenericRecord told = reader.read(record.value());
    if (metadata.topic().equals(Main.CHANGES)) {
      read = metadata.offset() + 1;
      note(record, metadata.offset(), 0, Fingerprint.of((GenericRecord) told.get("after")));
    } else {
      int sink = told.get("sink").toString().equals(Main.SINKS[0]) ? 0 : 1;
      long offset = (Long) told.get("offset");
      if (told.getSchema().getName().equals("SinkMark")) fences[sink] = offset;
      else note(record, offset, sink + 1, littleEndian((GenericFixed) told.get("fingerprint")));
    }
    long end = Math.min(read, Math.min(fences[0], fences[1]));
    if (end > judged) judge(record, end);
  }

  private void note(Record<byte[], byte[]> record, long offset, int place, long fingerprint) {
    byte[] key = key(offset);
    byte[] known = store.get(key);
    ByteBuffer cell = ByteBuffer.wrap(known == null ? new byte[CELL_BYTES] : known);
    cell.put(0, (byte) (cell.get(0) | 1 << place)).putLong(1 + 8 * place, fingerprint);
    for (int other = 1; other <= Main.SINKS.length; other++) {
      boolean isNew = place == 0 || place == other;
      if (isNew && has(cell, 0) && has(cell, other) && cell.getLong(1 + 8 * other) != cell.getLong(1)) {
        tell(record, "DIVERGED", other - 1, offset);
      }
    }
    if (cell.get(0) == ALL) store.delete(key);
    else store.put(key, cell.array());
  }

  private void judge(Record<byte[], byte[]> record, long end) {
    List<byte[]> open = new ArrayList<>();
    try (KeyValueIterator<byte[], byte[]> cells = store.range(key(judged), key(end - 1))) {
      while (cells.hasNext()) {
        KeyValue<byte[], byte[]> one = cells.next();
        ByteBuffer cell = ByteBuffer.wrap(one.value);
        for (int sink = 0; sink < Main.SINKS.length; sink++) {
          if (!has(cell, sink + 1)) tell(record, "MISSING", sink, ByteBuffer.wrap(one.key).getLong());
        }
        open.add(one.key);
      }
    }
    open.forEach(store::delete);
    judged = end;
  }

  private void tell(Record<byte[], byte[]> record, String state, int sink, long offset) {
    int partition = context.taskId().partition();
    String told = String.join(",", state, Main.SINKS[sink], Main.CHANGES, partition + "", offset + "");
    context.forward(new Record<>(null, told.getBytes(StandardCharsets.UTF_8), record.timestamp()));
  }

  private static boolean has(ByteBuffer cell, int place) {
    return (cell.get(0) >> place & 1) == 1;
  }

  private static byte[] key(long offset) {
    return ByteBuffer.allocate(8).putLong(offset).array();
  }

  private static long littleEndian(GenericFixed fixed) {
    return ByteBuffer.wrap(fixed.bytes()).order(ByteOrder.LITTLE_ENDIAN).getLong();
  }
}
