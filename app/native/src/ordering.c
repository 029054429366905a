/* out_of_order (app/ledger/ordering.py): which cells were applied after a later change of their key.
 *
 * Segments are given from the newest to the oldest, and each is gone through from its end. A table of open addressing holds for
 * every key what its later changes say: app/ledger/keyed.py's Later, as far as order asks it. */
#include "cells.h"

/* `rank` is 0 in a free slot; others hold ranks plus one, so that new pages are free slots. */
struct slot {
    uint64_t low, high;
    int64_t rank, rank_without_sequence, sequence;
};

enum { TABLE, HASHES, HAS_KEY, RANKS, SEQUENCES, IS_LATE, ARRAYS };

static const struct shape SHAPES[ARRAYS] = {
    {"table", sizeof(struct slot), 1}, {"key_hashes", 16, 0}, {"has_key", 1, 0}, {"ranks", 8, 0}, {"sequences", 8, 0},
    {"is_late", 1, 1},
};

/* The slot of a key, or the free one where it belongs; NULL where there is neither: the table is too small.
 * `mask` is the number of slots, a power of two, less one, so that every index is inside the table. */
static struct slot *slot_of(struct slot *table, uint64_t mask, uint64_t low, uint64_t high)
{
    for (uint64_t tried = 0; tried <= mask; tried++) {
        struct slot *slot = &table[(low + tried) & mask];
        if (!slot->rank || (slot->low == low && slot->high == high))
            return slot;
    }
    return NULL;
}

static int precedes(const struct slot *later, int64_t rank, int64_t sequence)
{
    if (sequence == NEVER)
        return later->rank < rank;
    return later->sequence < sequence || later->rank_without_sequence < rank;
}

static void add_apply(struct slot *later, int64_t rank, int64_t sequence)
{
    if (rank < later->rank)
        later->rank = rank;
    if (sequence < later->sequence)
        later->sequence = sequence;
    if (sequence == NEVER && rank < later->rank_without_sequence)
        later->rank_without_sequence = rank;
}

/* What is done with the cells of a call: their keys are noted; they are added to keys that were noted; they are judged, and
 * then added. */
enum { NOTE, ADD, JUDGE };

/* Goes over the cells of [lo, hi); returns how many were judged to be too late, -1 where the table is full. Ranks are below
 * 2**63 - 1: one more is no overflow. */
static int64_t ordered(struct array *arrays, int what, int64_t lo, int64_t hi)
{
    struct slot *table = arrays[TABLE].view.buf;
    const uint64_t *hashes = arrays[HASHES].view.buf;
    const uint8_t *has_key = arrays[HAS_KEY].view.buf;
    uint8_t *is_late = arrays[IS_LATE].view.buf;
    uint64_t mask = (uint64_t)arrays[TABLE].count - 1;
    int64_t found = 0;
    for (int64_t place = hi - 1; place >= lo; place--) {
        int64_t rank = item(arrays + RANKS, place), sequence = item(arrays + SEQUENCES, place);
        if (!has_key[place] || rank == NEVER)
            continue;
        struct slot *later = slot_of(table, mask, hashes[2 * place], hashes[2 * place + 1]);
        if (later == NULL)
            return -1;
        if (!later->rank && what != ADD)
            *later = (struct slot){hashes[2 * place], hashes[2 * place + 1], NEVER, NEVER, NEVER};
        if (what == JUDGE)
            found += is_late[place] = (uint8_t)precedes(later, rank + 1, sequence);
        if (what != NOTE && later->rank)
            add_apply(later, rank + 1, sequence);
    }
    return found;
}

static int are_even(const struct array *arrays, int64_t lo, int64_t hi)
{
    int64_t count = arrays[HASHES].count, slots = arrays[TABLE].count;
    int is_fine = 0 <= lo && lo <= hi && hi <= count && slots > 0 && !(slots & (slots - 1));
    for (int place = HAS_KEY; place < ARRAYS; place++)
        is_fine = is_fine && arrays[place].count == count;
    return are_fine(is_fine);
}

static PyObject *late_applies(PyObject *self, PyObject *args)
{
    struct array arrays[ARRAYS];
    PyObject *given;
    int what;
    long long lo, hi;
    (void)self;
    if (!PyArg_ParseTuple(args, "iLLO", &what, &lo, &hi, &given) || opened(given, arrays, SHAPES, ARRAYS) < 0)
        return NULL;
    int64_t found = are_even(arrays, lo, hi) ? ordered(arrays, what, lo, hi) : -1;
    closed(arrays, ARRAYS);
    if (found < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a table without a free slot");
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

PyMethodDef ordering_methods[] = {
    {"late_applies", late_applies, METH_VARARGS,
     "late_applies(what, lo, hi, (table, key_hashes, has_key, ranks, sequences, is_late)): see app/ledger/ordering.py."},
    {NULL, NULL, 0, NULL},
};
