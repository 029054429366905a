/* One record: each field by the action of its node. */
#include "avro.h"

/* What stands here goes into a slot. */
static int kept(struct work *work, const struct node *node, struct value *value)
{
    value->kind = IS_BYTES;
    switch (node->kind) {
    case NOTHING:
        value->kind = IS_NULL;
        return DECODED;
    case INTEGER:
        value->kind = IS_NUMBER;
        return read_long(&work->in, &value->number);
    case ENUM:
        value->kind = IS_NUMBER;
        return read_symbol(&work->in, node, &value->number);
    case STRING:
        return read_text(&work->in, &value->bytes, &value->size);
    case FIXED:
        value->size = node->count;
        return read_fixed(&work->in, node->count, &value->bytes);
    default:
        value->kind = IS_OTHER;
        return skipped(work->program, &work->in, node);
    }
}

/* The node of a value that may stand in a union. */
static int branch_of(struct work *work, const struct node *node, const struct node **inner)
{
    int64_t branch;
    *inner = node;
    if (node->kind != UNION)
        return DECODED;
    TRY(read_branch(&work->in, node, &branch));
    *inner = work->program->nodes + node->first + branch;
    return DECODED;
}

/* Whether the placeholder stands here. A value says itself where it ends, so one that begins with a form's bytes is it. */
static int is_unavailable(const struct work *work, const struct column *column)
{
    for (int64_t form = column->form; form < column->form + column->forms; form++) {
        int64_t size;
        const uint8_t *bytes = name_of(&work->program->names, form, &size);
        if (size <= work->in.end - work->in.at && memcmp(work->in.at, bytes, (size_t)size) == 0)
            return 1;
    }
    return 0;
}

/* A column's hash goes into the sum, and into what the accumulators that leave it out will subtract. */
static int column(struct work *work, const struct node *node, int64_t index)
{
    const struct column *column = work->program->columns + index;
    if (node->kind != NOTHING && node->class != REFUSED && is_unavailable(work, column))
        return skipped(work->program, &work->in, node);
    work->size = 0;
    TRY(put_atom(work, node));
    uint64_t hash = xxh64(work->out, work->size, (uint64_t)column->seed);
    work->total += hash;
    work->is_partial |= column->without != 0;
    for (uint64_t left = (uint64_t)column->without; left != 0; left &= left - 1)
        work->without[__builtin_ctzll(left)] += hash; /* below ACCUMULATORS, as many as there are bits */
    return DECODED;
}

static int field(struct work *work, const struct node *node);

static int fields(struct work *work, const struct node *node)
{
    for (int64_t place = 0; place < node->count; place++)
        TRY(field(work, work->program->nodes + node->first + place));
    return DECODED;
}

/* One field by its action. Recursion ends, because a program's tree is of bounded depth. */
static int field(struct work *work, const struct node *node)
{
    const struct node *inner;
    if (node->action == SKIP)
        return skipped(work->program, &work->in, node);
    TRY(branch_of(work, node, &inner));
    switch (node->action) {
    case SLOT:
        return kept(work, inner, work->slots + node->slot);
    case COLUMN:
        return column(work, inner, node->slot);
    case ROW:
        work->has_row = inner->kind != NOTHING;
        if (inner->kind == RECORD)
            return fields(work, inner);
        return work->has_row ? column(work, inner, node->slot) : DECODED;
    default: /* DESCEND */
        return inner->kind == RECORD ? fields(work, inner) : skipped(work->program, &work->in, inner);
    }
}

int walked(struct work *work, const uint8_t *body, int64_t size)
{
    work->in = (struct cursor){body, body + size};
    work->total = 0;
    work->has_row = 0;
    work->parts_used = 0;
    memset(work->slots, 0, (size_t)work->program->slots * sizeof *work->slots); /* IS_NULL; others never were anything else */
    if (work->is_partial)
        memset(work->without, 0, sizeof work->without);
    work->is_partial = 0;
    TRY(fields(work, work->program->nodes));
    return work->in.at == work->in.end ? DECODED : LEFT_OVER;
}
