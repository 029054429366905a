/* Atoms of decimals (tag 03): scale and unscaled value after stripping trailing zeros; zero is scale 0, one byte 00. */
#include "out.h"

enum { TAG_DECIMAL = 0x03, WIDEST = 16 /* bytes; more than 38 digits are the reference's */ };

typedef __int128 wide;

/* Big-endian two's complement of at most WIDEST bytes. */
static wide number_of(const uint8_t *bytes, int64_t size)
{
    unsigned __int128 bits = size > 0 && bytes[0] >= 0x80 ? ~(unsigned __int128)0 : 0;
    for (int64_t place = 0; place < size; place++)
        bits = bits << 8 | bytes[place];
    return (wide)bits;
}

/* How many bytes the shortest big-endian two's complement has: a sign bit has to fit, too. */
static int64_t bytes_of(wide number)
{
    unsigned __int128 rest = (unsigned __int128)(number < 0 ? ~number : number) >> 7;
    int64_t size = 1;
    for (; rest != 0; rest >>= 8)
        size++;
    return size;
}

/* Numbers of 64 bits are divided by one instruction, wider ones by a function. The scale of a VariableScaleDecimal may be
 * any int64 in hostile bytes: it is kept modulo 2**32, as the reference does, so unsigned. */
int put_decimal(struct work *work, const uint8_t *unscaled, int64_t size, int64_t scale)
{
    static const uint8_t ZERO[] = {TAG_DECIMAL, 0, 0, 0, 0, 0};
    if (size > WIDEST)
        return UNREAD;
    wide number = number_of(unscaled, size);
    uint32_t places = (uint32_t)(uint64_t)scale;
    if (number == 0)
        return put(work, ZERO, sizeof ZERO);
    while ((number > INT64_MAX || number < INT64_MIN) && number % 10 == 0) {
        number /= 10;
        places--;
    }
    if (number <= INT64_MAX && number >= INT64_MIN) {
        int64_t small = (int64_t)number;
        for (; small % 10 == 0; small /= 10) /* it ends, since it is not 0 */
            places--;
        number = small;
    }
    int64_t width = bytes_of(number);
    TRY(put_byte(work, TAG_DECIMAL));
    TRY(put_u32(work, places));
    TRY(grown(work, width));
    for (int64_t shift = 8 * (width - 1); shift >= 0; shift -= 8)
        work->out[work->size++] = (uint8_t)((unsigned __int128)number >> shift);
    return DECODED;
}
