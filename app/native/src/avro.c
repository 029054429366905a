/* Past values of which nothing is asked. */
#include "avro.h"

static int skipped_items(const struct program *program, struct cursor *in, const struct node *node)
{
    const uint8_t *key;
    int64_t count, size;
    TRY(read_count(in, &count));
    if (count == 0)
        return DECODED;
    for (; count > 0; count--) {
        if (node->kind == MAP)
            TRY(read_text(in, &key, &size));
        TRY(skipped(program, in, program->nodes + node->first));
    }
    return read_end(in);
}

/* Past one value. What the reference would refuse is refused here too, for it reads everything. Recursion ends, because a
 * program's tree is of bounded depth. */
int skipped(const struct program *program, struct cursor *in, const struct node *node)
{
    const uint8_t *bytes;
    int64_t number;
    uint8_t byte;
    switch (node->kind) {
    case NOTHING:
        return DECODED;
    case BOOLEAN:
        return read_boolean(in, &byte);
    case INTEGER:
        return read_long(in, &number);
    case FLOAT:
        return read_fixed(in, 4, &bytes);
    case DOUBLE:
        return read_fixed(in, 8, &bytes);
    case BYTES:
        return read_bytes(in, &bytes, &number);
    case STRING:
        return read_text(in, &bytes, &number);
    case FIXED:
        return read_fixed(in, node->count, &bytes);
    case ENUM:
        return read_symbol(in, node, &number);
    case UNION:
        TRY(read_branch(in, node, &number));
        return skipped(program, in, program->nodes + node->first + number);
    case RECORD:
        for (int64_t place = 0; place < node->count; place++)
            TRY(skipped(program, in, program->nodes + node->first + place));
        return DECODED;
    default:
        return skipped_items(program, in, node);
    }
}
