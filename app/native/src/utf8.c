/* Whether bytes are UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF; as Python's strict decoder. */
#include "walk.h"

static const uint64_t HIGH_BITS = 0x8080808080808080ULL;

static inline int is_next(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

/* Bytes of the character at `at`, of which `left` > 0 bytes are there; 0 where it is none. */
static int64_t character(const uint8_t *at, int64_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return left >= 2 && is_next(at[1]) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        if (left < 3 || !is_next(at[1]) || !is_next(at[2]))
            return 0;
        if (first == 0xE0 && at[1] < 0xA0) /* overlong */
            return 0;
        return first == 0xED && at[1] >= 0xA0 ? 0 : 3; /* a surrogate */
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (left < 4 || !is_next(at[1]) || !is_next(at[2]) || !is_next(at[3]))
            return 0;
        if (first == 0xF0 && at[1] < 0x90)
            return 0;
        return first == 0xF4 && at[1] >= 0x90 ? 0 : 4; /* above U+10FFFF */
    }
    return 0;
}

/* Whether no byte has its high bit; the last bytes of longer texts are looked at twice. */
static inline int is_ascii(const uint8_t *at, int64_t size)
{
    uint64_t seen = 0;
    if (size >= 8) {
        for (int64_t place = 0; place <= size - 8; place += 8)
            seen |= load_u64(at + place);
        seen |= load_u64(at + size - 8);
    } else if (size >= 4) {
        seen = (uint64_t)load_u32(at) | load_u32(at + size - 4);
    } else {
        for (int64_t place = 0; place < size; place++)
            seen |= at[place];
    }
    return (seen & HIGH_BITS) == 0;
}

int is_utf8(const uint8_t *at, int64_t size)
{
    const uint8_t *end = at + size;
    if (is_ascii(at, size)) /* nearly all are */
        return 1;
    while (at < end) {
        int64_t bytes = character(at, end - at);
        if (bytes == 0)
            return 0;
        at += bytes;
    }
    return 1;
}
