/* Atoms of lists (tag 10), and of maps and records (tag 11), whose members are sorted by their names' bytes. */
#include "avro.h"
#include "out.h"

#include <stdlib.h>

enum { TAG_LIST = 0x10, TAG_MAP = 0x11 };

/* An atom behind its uint32 length, which is known afterwards. It fits: the scratch buffer is bounded far below 4 GiB. */
static int put_sized_atom(struct work *work, const struct node *node)
{
    int64_t place = work->size;
    TRY(put_u32(work, 0));
    TRY(put_atom(work, node));
    uint32_t size = (uint32_t)(work->size - place - 4);
    memcpy(work->out + place, &size, sizeof size);
    return DECODED;
}

int put_list(struct work *work, const struct node *node)
{
    int64_t count;
    TRY(read_count(&work->in, &count));
    TRY(put_byte(work, TAG_LIST));
    TRY(put_u32(work, (uint32_t)count)); /* no more than the record's bytes; Kafka's records are below 2 GiB */
    if (count == 0)
        return DECODED;
    for (; count > 0; count--)
        TRY(put_sized_atom(work, work->program->nodes + node->first));
    return read_end(&work->in);
}

/* Append the members in the order of their keys, and put that in place of their atoms, which begin at `start`. A key that
 * is there twice is the reference's. */
static int put_sorted(struct work *work, struct part *parts, int64_t count, int64_t start)
{
    int64_t from = work->size;
    qsort(parts, (size_t)count, sizeof *parts, by_key);
    TRY(put_byte(work, TAG_MAP));
    TRY(put_u32(work, (uint32_t)count)); /* below PARTS */
    for (int64_t place = 0; place < count; place++) {
        const struct part *part = parts + place;
        if (place > 0 && by_key(part - 1, part) == 0)
            return UNREAD;
        TRY(put_u32(work, (uint32_t)part->key_size));
        TRY(put(work, part->key, part->key_size));
        TRY(grown(work, part->size + 4)); /* first, since `put` would copy from a buffer that moves */
        TRY(put_u32(work, (uint32_t)part->size));
        TRY(put(work, work->out + part->start, part->size));
    }
    moved_back(work, start, from);
    return DECODED;
}

/* One member's atom, and its part; the key's bytes stand in the record or in the program, which both stay. */
static int put_member(struct work *work, const uint8_t *key, int64_t key_size, const struct node *node)
{
    if (work->parts_used == PARTS)
        return TOO_MUCH;
    int64_t place = work->parts_used++, start = work->size;
    TRY(put_atom(work, node));
    work->parts[place] = (struct part){key, key_size, start, work->size - start};
    return DECODED;
}

int put_map(struct work *work, const struct node *node)
{
    const uint8_t *key;
    int64_t count, size, start = work->size, first = work->parts_used;
    TRY(read_count(&work->in, &count));
    if (count > PARTS)
        return TOO_MUCH;
    for (int64_t place = 0; place < count; place++) {
        TRY(read_text(&work->in, &key, &size));
        /* members of members are done, and their parts free again, when the next one begins: see the end */
        TRY(put_member(work, key, size, work->program->nodes + node->first));
    }
    if (count > 0)
        TRY(read_end(&work->in));
    TRY(put_sorted(work, work->parts + first, count, start));
    work->parts_used = first;
    return DECODED;
}

/* Fields `scale` and `value`, in this order; programs of others are not made. */
static int put_variable_decimal(struct work *work)
{
    const uint8_t *unscaled;
    int64_t scale, size;
    TRY(read_long(&work->in, &scale));
    TRY(read_bytes(&work->in, &unscaled, &size));
    return put_decimal(work, unscaled, size, scale);
}

int put_record(struct work *work, const struct node *node)
{
    int64_t start = work->size, first = work->parts_used;
    if (node->class == VARIABLE_DECIMAL)
        return put_variable_decimal(work);
    for (int64_t place = 0; place < node->count; place++) {
        int64_t size;
        const uint8_t *name = name_of(&work->program->names, node->param + place, &size);
        TRY(put_member(work, name, size, work->program->nodes + node->first + place));
    }
    TRY(put_sorted(work, work->parts + first, node->count, start));
    work->parts_used = first;
    return DECODED;
}
