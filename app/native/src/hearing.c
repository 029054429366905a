/* First receipts: folded into the columns of their cells (app/ledger/cells.py, CellSegment.first), many segments' one by one.
 *
 * What is left to the fold are receipts about cells in which something stands already, and about changes that are no plain row:
 * both are properties of the cell, so that all that is left of one cell follows, in the lane, what was folded here. */
#include "cells.h"

enum {
    RULE,
    OFFSETS, STATUSES, FINGERPRINTS, HAS_FINGERPRINT, TIMES, SEQUENCES, HAS_SEQUENCE, NAMES_COMMAND, READ_BACK, RANKS, IS_LEFT,
    KINDS, LEFT_OUT, EXPECTED,
    CELL_BITS, CLOSED, CELL_STATUSES, CELL_FINGERPRINTS, FIRST_AT, APPLY_AT, APPLY_RANKS, APPLY_SEQUENCES,
    ARRAYS
};

static const struct shape SHAPES[ARRAYS] = {
    {"rule", 8, 0},
    {"offsets", 8, 0}, {"statuses", 1, 0}, {"fingerprints", 8, 0}, {"has_fingerprint", 1, 0}, {"times", 8, 0},
    {"sequences", 8, 0}, {"has_sequence", 1, 0}, {"names_command", 1, 0}, {"read_back", 1, 0}, {"ranks", 8, 0}, {"is_left", 1, 1},
    {"kinds", 1, 0}, {"left_out", 1, 0}, {"expected", 8, 0},
    {"bits", 2, 1}, {"closed", 1, 0}, {"cell_statuses", 1, 1}, {"cell_fingerprints", 8, 1}, {"first_at", 8, 1},
    {"apply_at", 8, 1}, {"apply_ranks", 8, 1}, {"apply_sequences", 8, 1},
};

/* The array RULE: a segment's first offset, the indices [lo, hi) that one contract judges, its projection and how many there
 * are, and the highest fence. */
enum { BASE, LO, HI, PROJECTION, PROJECTIONS, FENCE, RULES };

static inline void put(struct array *arrays, int which, int64_t place, int64_t value)
{
    ((int64_t *)arrays[which].view.buf)[place] = value;
}

/* Whether the first receipt of a cell is all that its columns need. */
static int is_plain(const struct array *arrays, int64_t place)
{
    const int64_t *rule = arrays[RULE].view.buf;
    uint8_t kind = byte(arrays, KINDS, place);
    uint16_t bits = bits_at(arrays, CELL_BITS, place);
    return (kind == KIND_UPSERT || kind == KIND_DELETE)
        && !byte(arrays, LEFT_OUT, place * rule[PROJECTIONS] + rule[PROJECTION])
        && !byte(arrays, CLOSED, place) && !(bits & (BIT_HAS_RECEIPT | BIT_LOST));
}

static int is_good(const struct array *arrays, int64_t row, int64_t place, uint8_t status)
{
    const int64_t *rule = arrays[RULE].view.buf;
    if (byte(arrays, KINDS, place) == KIND_DELETE)
        return status == STATUS_DELETED;
    int64_t expected = item(arrays + EXPECTED, place * rule[PROJECTIONS] + rule[PROJECTION]);
    return status == STATUS_APPLIED && (!byte(arrays, HAS_FINGERPRINT, row) || item(arrays + FINGERPRINTS, row) == expected);
}

/* A presence receipt "of the kind its change expects" gets that kind. */
static uint8_t named(const struct array *arrays, int64_t row, int64_t place)
{
    uint8_t status = byte(arrays, STATUSES, row);
    if (status != STATUS_ANY_KIND)
        return status;
    return byte(arrays, KINDS, place) == KIND_DELETE ? STATUS_DELETED : STATUS_APPLIED;
}

static void hear(struct array *arrays, int64_t row, int64_t place)
{
    uint8_t status = named(arrays, row, place), by_command = byte(arrays, NAMES_COMMAND, row);
    int good = is_good(arrays, row, place, status), is_applied = status <= STATUS_DELETED && !by_command;
    int in_sequence = is_applied && byte(arrays, HAS_SEQUENCE, row), has_content = byte(arrays, HAS_FINGERPRINT, row);
    int is_passed = item(arrays + OFFSETS, row) < item(arrays + RULE, FENCE);
    ((uint16_t *)arrays[CELL_BITS].view.buf)[place] |= (uint16_t)(
        BIT_HAS_RECEIPT | (status != STATUS_REJECTED ? BIT_NOT_REJECTED : 0) | (status <= STATUS_DELETED ? BIT_REACHED : 0)
        | (has_content ? BIT_WORD_HAS_FINGERPRINT : 0) | (by_command ? BIT_WORD_NAMES_COMMAND : 0)
        | (good ? BIT_GOOD | BIT_WAS_GOOD : 0) | (good && is_passed ? BIT_RECOVERED : 0)
        | (good && by_command ? BIT_MADE_GOOD_BY_COMMAND : 0) | (in_sequence ? BIT_HAS_SEQUENCE : 0) | (byte(arrays, READ_BACK, row) ? BIT_READ_BACK : 0));
    ((uint8_t *)arrays[CELL_STATUSES].view.buf)[place] = status;
    put(arrays, CELL_FINGERPRINTS, place, has_content ? item(arrays + FINGERPRINTS, row) : 0);
    put(arrays, FIRST_AT, place, item(arrays + TIMES, row));
    put(arrays, APPLY_RANKS, place, is_applied ? item(arrays + RANKS, row) : NEVER);
    put(arrays, APPLY_AT, place, is_applied ? item(arrays + TIMES, row) : 0);
    put(arrays, APPLY_SEQUENCES, place, in_sequence ? item(arrays + SEQUENCES, row) : NEVER);
}

/* Every index that is used lies in [0, count) of the receipts, or in [lo, hi) of the segment, which `are_even` has held against
 * the arrays' sizes. */
static int64_t heard(struct array *arrays)
{
    int64_t base = item(arrays + RULE, BASE), lo = item(arrays + RULE, LO), hi = item(arrays + RULE, HI), found = 0;
    uint8_t *is_left = arrays[IS_LEFT].view.buf;
    for (int64_t row = 0; row < arrays[OFFSETS].count; row++) {
        int64_t offset = item(arrays + OFFSETS, row);
        if (offset < base + lo || offset >= base + hi || !is_plain(arrays, offset - base))
            continue;
        hear(arrays, row, offset - base);
        is_left[row] = 0;
        found++;
    }
    return found;
}

static int are_even(const struct array *arrays)
{
    const int64_t *rule = arrays[RULE].view.buf;
    int is_fine = arrays[RULE].count == RULES && rule[BASE] >= 0 && rule[BASE] < INT64_MAX / 2 && 0 <= rule[LO]
        && rule[LO] <= rule[HI] && rule[HI] <= arrays[KINDS].count && 0 <= rule[PROJECTION]
        && rule[PROJECTION] < rule[PROJECTIONS] && rule[PROJECTIONS] <= arrays[EXPECTED].count
        && arrays[EXPECTED].count == arrays[KINDS].count * rule[PROJECTIONS] && arrays[LEFT_OUT].count == arrays[EXPECTED].count;
    for (int place = OFFSETS; place <= IS_LEFT; place++)
        is_fine = is_fine && arrays[place].count == arrays[OFFSETS].count;
    for (int place = CELL_BITS; place < ARRAYS; place++)
        is_fine = is_fine && arrays[place].count == arrays[KINDS].count;
    return are_fine(is_fine);
}

static PyObject *hear_first(PyObject *self, PyObject *args)
{
    struct array arrays[ARRAYS];
    (void)self;
    if (opened(args, arrays, SHAPES, ARRAYS) < 0)
        return NULL;
    int64_t found = are_even(arrays) ? heard(arrays) : -1;
    closed(arrays, ARRAYS);
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

PyMethodDef hearing_methods[] = {
    {"hear_first", hear_first, METH_VARARGS,
     "hear_first(*arrays): see app/ledger/hearing.py; how many receipts it folded, which are not marked as left any more."},
    {NULL, NULL, 0, NULL},
};
