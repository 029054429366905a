/* Avro's binary encoding (avro.apache.org, specification 1.11, "Binary Encoding"): values by their type alone.
 *
 * Stricter than the reference, which then decides: numbers in their shortest form, arrays and maps in one block of a
 * positive count. No read goes past `in->end`; every size is compared with what is left before it is used. All of it is
 * inline, for a record is some fifty calls of these. */
#ifndef CDC_AVRO_H
#define CDC_AVRO_H

#include "walk.h"

enum { LONGEST_VARINT = 10 }; /* bytes of 7 bits that 64 bits need */

static inline int64_t unzigzagged(uint64_t bits)
{
    return (int64_t)((bits >> 1) ^ (0 - (bits & 1)));
}

/* A varint of any length, byte by byte. The tenth byte may only be 1, the last of 64 bits; a last byte of 0 was not needed. */
static inline int read_bits(struct cursor *in, uint64_t *found)
{
    uint64_t bits = 0;
    for (int place = 0; place < LONGEST_VARINT; place++) {
        if (in->at == in->end)
            return TRUNCATED;
        uint8_t byte = *in->at++;
        if (place == LONGEST_VARINT - 1 && byte > 1)
            return BAD_NUMBER;
        bits |= (uint64_t)(byte & 0x7F) << (7 * place); /* at most 63 */
        if (byte < 0x80) {
            *found = bits;
            return byte == 0 && place > 0 ? BAD_NUMBER : DECODED;
        }
    }
    return BAD_NUMBER;
}

/* The lowest seven bits of each of eight bytes, side by side. */
static inline uint64_t squeezed(uint64_t bytes)
{
    bytes = (bytes & 0x007F007F007F007FULL) | (bytes & 0x7F007F007F007F00ULL) >> 1;
    bytes = (bytes & 0x00003FFF00003FFFULL) | (bytes & 0x3FFF00003FFF0000ULL) >> 2;
    return (bytes & 0x000000000FFFFFFFULL) | (bytes & 0x0FFFFFFF00000000ULL) >> 4;
}

/* A zigzag varint: of one byte, as sizes, branches and small numbers are; of up to eight, as times and places in logs are, by
 * one load where eight bytes are left; else byte by byte. */
static inline int read_long(struct cursor *in, int64_t *number)
{
    uint64_t bits;
    if (in->at < in->end && *in->at < 0x80) {
        *number = unzigzagged(*in->at++);
        return DECODED;
    }
    if (in->end - in->at >= 8) {
        uint64_t bytes = load_u64(in->at), ends = ~bytes & 0x8080808080808080ULL;
        if (ends != 0) {
            int size = (__builtin_ctzll(ends) >> 3) + 1; /* 2 to 8, for the first byte goes on */
            if (in->at[size - 1] == 0)
                return BAD_NUMBER;
            *number = unzigzagged(squeezed(bytes & (~0ULL >> (64 - 8 * size))));
            in->at += size;
            return DECODED;
        }
    }
    TRY(read_bits(in, &bits));
    *number = unzigzagged(bits);
    return DECODED;
}

static inline int read_fixed(struct cursor *in, int64_t size, const uint8_t **bytes)
{
    if (size > in->end - in->at)
        return TRUNCATED;
    *bytes = in->at;
    in->at += size;
    return DECODED;
}

static inline int read_bytes(struct cursor *in, const uint8_t **bytes, int64_t *size)
{
    TRY(read_long(in, size));
    return *size < 0 ? BAD_COUNT : read_fixed(in, *size, bytes);
}

static inline int read_text(struct cursor *in, const uint8_t **bytes, int64_t *size)
{
    TRY(read_bytes(in, bytes, size));
    return is_utf8(*bytes, *size) ? DECODED : BAD_TEXT;
}

static inline int read_boolean(struct cursor *in, uint8_t *byte)
{
    const uint8_t *bytes;
    TRY(read_fixed(in, 1, &bytes));
    *byte = *bytes;
    return *byte <= 1 ? DECODED : BAD_NUMBER;
}

static inline int read_branch(struct cursor *in, const struct node *node, int64_t *branch)
{
    TRY(read_long(in, branch));
    return *branch >= 0 && *branch < node->count ? DECODED : BAD_BRANCH;
}

static inline int read_symbol(struct cursor *in, const struct node *node, int64_t *symbol)
{
    TRY(read_long(in, symbol));
    return *symbol >= 0 && *symbol < node->count ? DECODED : BAD_SYMBOL;
}

/* How many items the one block of an array or a map has; each has at least one byte (programs of others are not made), so
 * that more of them than bytes are left end the walk before it begins. */
static inline int read_count(struct cursor *in, int64_t *count)
{
    TRY(read_long(in, count));
    if (*count < 0)
        return BAD_COUNT;
    return *count <= in->end - in->at ? DECODED : TRUNCATED;
}

/* No second block follows. */
static inline int read_end(struct cursor *in)
{
    const uint8_t *bytes;
    TRY(read_fixed(in, 1, &bytes));
    return *bytes == 0 ? DECODED : BAD_COUNT;
}

#endif
