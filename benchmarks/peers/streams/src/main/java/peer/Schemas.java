package peer;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** The schemas of a directory, as {@code <id>.avsc}; read once, used by every thread's {@link Reader}. */
final class Schemas {
  private static final int FRAMING_BYTES = 5;
  private final Map<Integer, Schema> byId = new HashMap<>();

  Schemas(Path directory) throws IOException {
    try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "*.avsc")) {
      for (Path file : files) {
        int id = Integer.parseInt(file.getFileName().toString().replace(".avsc", ""));
        byId.put(id, new Schema.Parser().parse(Files.readString(file)));
      }
    }
  }

  /** Decodes framed records for one thread; what it gives is overwritten by the next record of that schema. */
  final class Reader {
    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
    private final Map<Integer, GenericRecord> reused = new HashMap<>();
    private BinaryDecoder decoder;

    GenericRecord read(byte[] value) {
      int id = ByteBuffer.wrap(value).getInt(1);
      decoder = DecoderFactory.get().binaryDecoder(value, FRAMING_BYTES, value.length - FRAMING_BYTES, decoder);
      var reader = readers.computeIfAbsent(id, number -> new GenericDatumReader<>(byId.get(number)));
      try {
        GenericRecord record = reader.read(reused.get(id), decoder);
        reused.put(id, record);
        return record;
      } catch (IOException error) {
        throw new IllegalArgumentException(error);
      }
    }
  }
}
