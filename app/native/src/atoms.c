/* Atoms of single values (protocol section 2): one tag byte and a payload, integers little-endian. */
#include "avro.h"
#include "out.h"

enum tag { TAG_NULL, TAG_BOOLEAN, TAG_INTEGER, TAG_DECIMAL, TAG_FLOAT, TAG_TEXT, TAG_BYTES, TAG_LOCAL, TAG_INSTANT, TAG_DATE,
           TAG_TIME, TAG_UUID, TAG_JSON, TAG_DURATION, TAG_INTERVAL, TAG_BITS };

static const uint64_t NAN_BITS = 0x7FF8000000000000ULL;

/* Seconds rounded down, and the rest in nanoseconds; `per_second` is 1000, 10**6 or 10**9. */
static int put_timestamp(struct work *work, int64_t number, int64_t per_second)
{
    int64_t seconds = number / per_second, rest = number % per_second;
    if (rest < 0) { /* C cuts toward zero; seconds can't be the lowest int64 after a division by 1000 */
        rest += per_second;
        seconds -= 1;
    }
    TRY(put_tagged(work, TAG_LOCAL, seconds));
    return put_u32(work, (uint32_t)(rest * (1000000000 / per_second))); /* below 10**9 */
}

static int put_integer(struct work *work, const struct node *node, int64_t number)
{
    switch (node->class) {
    case PLAIN:
        return put_tagged(work, TAG_INTEGER, number);
    case TIMESTAMP:
        return put_timestamp(work, number, node->param);
    case DATE:
        return put_tagged(work, TAG_DATE, number);
    case TIME: /* a product that is too large wraps, as it is defined for unsigned numbers only */
        return put_tagged(work, TAG_TIME, (int64_t)((uint64_t)number * (uint64_t)node->param));
    case DURATION:
        return put_tagged(work, TAG_DURATION, number);
    case NANO_DURATION:
        return put_tagged(work, TAG_DURATION, number / 1000);
    default:
        return UNREAD;
    }
}

/* -0.0 becomes 0.0, and every NaN is one. */
static int put_float(struct work *work, double number)
{
    uint64_t bits;
    number += 0.0;
    memcpy(&bits, &number, sizeof bits);
    return put_tagged(work, TAG_FLOAT, (int64_t)(number != number ? NAN_BITS : bits));
}

/* Debezium's little-endian bytes as a big-endian number without leading zeros. */
static int put_bits(struct work *work, const uint8_t *bytes, int64_t size)
{
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    TRY(grown(work, size + 1));
    work->out[work->size++] = TAG_BITS;
    while (size > 0)
        work->out[work->size++] = bytes[--size];
    return DECODED;
}

static int put_bytes(struct work *work, const struct node *node, const uint8_t *bytes, int64_t size)
{
    if (node->class == DECIMAL)
        return put_decimal(work, bytes, size, node->param);
    if (node->class == BITS)
        return put_bits(work, bytes, size);
    TRY(put_byte(work, TAG_BYTES));
    return put(work, bytes, size);
}

static int put_text(struct work *work, const struct node *node, const uint8_t *text, int64_t size)
{
    if (node->class != PLAIN)
        return put_read_text(work, node->class, text, size);
    TRY(put_byte(work, TAG_TEXT));
    return put(work, text, size);
}

static int put_symbol(struct work *work, const struct node *node)
{
    int64_t symbol, size;
    TRY(read_symbol(&work->in, node, &symbol));
    const uint8_t *text = name_of(&work->program->names, node->first + symbol, &size);
    return put_text(work, node, text, size);
}

static int put_boolean(struct work *work)
{
    uint8_t byte;
    TRY(read_boolean(&work->in, &byte));
    TRY(put_byte(work, TAG_BOOLEAN));
    return put_byte(work, byte);
}

static int put_number(struct work *work, const struct node *node)
{
    const uint8_t *bytes;
    int64_t number;
    float single;
    double whole;
    switch (node->kind) {
    case INTEGER:
        TRY(read_long(&work->in, &number));
        return put_integer(work, node, number);
    case FLOAT:
        TRY(read_fixed(&work->in, sizeof single, &bytes));
        memcpy(&single, bytes, sizeof single);
        return put_float(work, single);
    default:
        TRY(read_fixed(&work->in, sizeof whole, &bytes));
        memcpy(&whole, bytes, sizeof whole);
        return put_float(work, whole);
    }
}

/* Read one value and append its atom. Recursion ends, because a program's tree is of bounded depth. */
int put_atom(struct work *work, const struct node *node)
{
    const uint8_t *bytes;
    int64_t size;
    if (node->class == REFUSED)
        return UNREAD;
    switch (node->kind) {
    case NOTHING:
        return put_byte(work, TAG_NULL);
    case BOOLEAN:
        return put_boolean(work);
    case INTEGER:
    case FLOAT:
    case DOUBLE:
        return put_number(work, node);
    case BYTES:
        TRY(read_bytes(&work->in, &bytes, &size));
        return put_bytes(work, node, bytes, size);
    case FIXED:
        TRY(read_fixed(&work->in, node->count, &bytes));
        return put_bytes(work, node, bytes, node->count);
    case STRING:
        TRY(read_text(&work->in, &bytes, &size));
        return put_text(work, node, bytes, size);
    case ENUM:
        return put_symbol(work, node);
    case UNION:
        TRY(read_branch(&work->in, node, &size));
        return put_atom(work, work->program->nodes + node->first + size);
    case ARRAY:
        return put_list(work, node);
    case MAP:
        return put_map(work, node);
    default:
        return put_record(work, node);
    }
}
