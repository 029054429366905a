/* The source positions of the newest changes of one source partition, to find a change that its source repeats.

   Two tables of open addressing, of the newer offsets and of those before: a slot holds the two hashes of a position and the offset that it was seen at last, -1 while
   it is free. The first hash is the key, as in the dict that does the same without a kernel (app/ledger/repeats.py). */
#include "native.h"

struct slot {
    uint64_t low;
    uint64_t high;
    int64_t offset;
};

/* The slot of a key, or the free one where it belongs. The caller keeps at least half of the slots free, so that one is
   found; `mask` is the number of slots, a power of two, less one, so that every index is inside the table. */
static struct slot *slot_of(struct slot *table, uint64_t mask, uint64_t low)
{
    uint64_t at = low & mask;
    while (table[at].offset >= 0 && table[at].low != low)
        at = (at + 1) & mask;
    return &table[at];
}

struct table {
    struct slot *slots;
    uint64_t mask;
};

/* Notes every row in `newer`; marks those whose position stood at most `window` offsets before. Returns how many slots were taken. */
static int64_t noted(struct table newer, struct table older, const uint64_t *positions, const int64_t *offsets, int64_t count,
                     int64_t window, uint8_t *repeated)
{
    int64_t taken = 0;
    for (int64_t row = 0; row < count; row++) {
        uint64_t low = positions[2 * row], high = positions[2 * row + 1];
        struct slot *slot = slot_of(newer.slots, newer.mask, low);
        int is_new = slot->offset < 0;
        const struct slot *seen = is_new ? slot_of(older.slots, older.mask, low) : slot;
        repeated[row] = seen->offset >= 0 && seen->high == high && offsets[row] - seen->offset <= window;
        taken += is_new;
        *slot = (struct slot){low, high, offsets[row]};
    }
    return taken;
}

static int is_table(const Py_buffer *view, struct table *table)
{
    uint64_t slots = (uint64_t)view->len / sizeof(struct slot);
    *table = (struct table){view->buf, slots - 1};
    return slots && !(slots & (slots - 1));
}

static PyObject *window_note(PyObject *self, PyObject *args)
{
    Py_buffer first, second, positions, offsets, repeated;
    struct table newer, older;
    long long window, taken = -1;
    (void)self;
    if (!PyArg_ParseTuple(args, "w*y*y*y*Lw*", &first, &second, &positions, &offsets, &window, &repeated))
        return NULL;
    int64_t count = offsets.len / (int64_t)sizeof(int64_t);
    if (positions.len >= 2 * offsets.len && repeated.len >= count && is_table(&first, &newer) && is_table(&second, &older))
        taken = noted(newer, older, positions.buf, offsets.buf, count, window, repeated.buf);
    PyBuffer_Release(&first);
    PyBuffer_Release(&second);
    PyBuffer_Release(&positions);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&repeated);
    if (taken < 0) {
        PyErr_SetString(PyExc_ValueError, "arrays of unequal length, or a table whose size is no power of two");
        return NULL;
    }
    return PyLong_FromLongLong(taken);
}

PyMethodDef window_methods[] = {
    {"note_positions", window_note, METH_VARARGS,
     "note_positions(newer, older, positions, offsets, window, repeated): how many slots were taken; app.ledger.repeats."},
    {NULL, NULL, 0, NULL},
};
