/* Receipts: DeliveryReceipt, of our own schema to the letter, to the columns of an EvidenceBatch. */
#include "walk.h"

/* A slot for each field, in the schema's order. */
enum { SINK, TOPIC, PARTITION, OFFSET, STATUS, FINGERPRINT, APPLIED_AT, SEQUENCE, COMMAND_ID, ERROR, EVIDENCE };

enum {
    BUFFER = PROGRAM_ARRAYS, STARTS, SIZES, ROWS,
    CODES, NAME_INDEX, OFFSETS, STATUSES, FINGERPRINTS, HAS_FINGERPRINT, TIMES, SEQUENCES, HAS_SEQUENCE, HEADS,
    ARRAYS
};

/* Whom receipts speak of, as places in the buffer: sink, its size, topic, its size; and the partition. */
struct head {
    int64_t sink, sink_size, topic, topic_size, partition;
};

static const struct shape SHAPES[ARRAYS] = {
    {"nodes", sizeof(struct node), 0}, {"columns", sizeof(struct column), 0}, {"names", 1, 0}, {"name_ends", 8, 0},
    {"buffer", 1, 0}, {"starts", 8, 0}, {"sizes", 8, 0}, {"rows", 8, 0},
    {"codes", 1, 1}, {"name_index", 4, 1}, {"offsets", 8, 1}, {"statuses", 1, 1}, {"fingerprints", 8, 1},
    {"has_fingerprint", 1, 1}, {"times", 8, 1}, {"sequences", 8, 1}, {"has_sequence", 1, 1}, {"heads", sizeof(struct head), 1},
};

struct batch {
    struct array *arrays;
    int64_t heads, last; /* how many were found, and the one of the receipt before */
};

static int is_head(const struct batch *batch, const struct head *head, const struct value *slots)
{
    const uint8_t *buffer = batch->arrays[BUFFER].view.buf;
    return head->partition == slots[PARTITION].number && head->sink_size == slots[SINK].size
        && head->topic_size == slots[TOPIC].size
        && memcmp(buffer + head->sink, slots[SINK].bytes, (size_t)head->sink_size) == 0
        && memcmp(buffer + head->topic, slots[TOPIC].bytes, (size_t)head->topic_size) == 0;
}

/* The number of a receipt's head, a new one where it was not seen yet; `last` is it. There is room for few: more of them are
 * the reference's. */
static int find_head(struct batch *batch, const struct value *slots)
{
    const uint8_t *buffer = batch->arrays[BUFFER].view.buf;
    struct head *heads = batch->arrays[HEADS].view.buf;
    if (batch->heads > 0 && is_head(batch, heads + batch->last, slots))
        return DECODED;
    for (int64_t place = 0; place < batch->heads; place++)
        if (is_head(batch, heads + place, slots)) {
            batch->last = place;
            return DECODED;
        }
    if (batch->heads == batch->arrays[HEADS].count)
        return TOO_MUCH;
    batch->last = batch->heads++;
    heads[batch->last] = (struct head){slots[SINK].bytes - buffer, slots[SINK].size, slots[TOPIC].bytes - buffer,
                                       slots[TOPIC].size, slots[PARTITION].number};
    return DECODED;
}

/* The rare texts are the reference's, and what its rules refuse. */
static int is_plain(const struct value *slots)
{
    int64_t partition = slots[PARTITION].number;
    return slots[COMMAND_ID].kind == IS_NULL && slots[ERROR].kind == IS_NULL && slots[EVIDENCE].kind == IS_NULL
        && partition >= INT32_MIN && partition <= INT32_MAX;
}

static int receipt(struct batch *batch, struct work *work, int64_t row)
{
    struct array *arrays = batch->arrays;
    const struct value *slots = work->slots;
    int64_t start = ((const int64_t *)arrays[STARTS].view.buf)[row], size = ((const int64_t *)arrays[SIZES].view.buf)[row];
    if (!is_inside(start, size, arrays[BUFFER].count) || size < FRAME)
        return TRUNCATED;
    TRY(walked(work, (const uint8_t *)arrays[BUFFER].view.buf + start + FRAME, size - FRAME));
    if (!is_plain(slots))
        return NOT_PLAIN;
    TRY(find_head(batch, slots));
    int has_fingerprint = slots[FINGERPRINT].kind == IS_BYTES, has_sequence = slots[SEQUENCE].kind == IS_NUMBER;
    ((int32_t *)arrays[NAME_INDEX].view.buf)[row] = (int32_t)batch->last;
    ((int64_t *)arrays[OFFSETS].view.buf)[row] = slots[OFFSET].number;
    ((uint8_t *)arrays[STATUSES].view.buf)[row] = (uint8_t)slots[STATUS].number; /* a symbol's, of four */
    ((uint64_t *)arrays[FINGERPRINTS].view.buf)[row] = has_fingerprint ? load_u64(slots[FINGERPRINT].bytes) : 0; /* fixed(8) */
    ((uint8_t *)arrays[HAS_FINGERPRINT].view.buf)[row] = (uint8_t)has_fingerprint;
    ((int64_t *)arrays[TIMES].view.buf)[row] = slots[APPLIED_AT].number;
    ((int64_t *)arrays[SEQUENCES].view.buf)[row] = has_sequence ? slots[SEQUENCE].number : 0;
    ((uint8_t *)arrays[HAS_SEQUENCE].view.buf)[row] = (uint8_t)has_sequence;
    return DECODED;
}

static int are_even(const struct array *arrays)
{
    int64_t count = arrays[STARTS].count;
    int is_fine = arrays[SIZES].count == count && arrays[NODES].count > 0;
    for (int place = CODES; place < HEADS; place++)
        is_fine &= arrays[place].count == count;
    is_fine = is_fine && are_rows(arrays + ROWS, count);
    if (!is_fine)
        PyErr_SetString(PyExc_ValueError, "arrays of unequal length, or places outside of them");
    return is_fine;
}

static PyObject *receipts(PyObject *self, PyObject *args)
{
    struct array arrays[ARRAYS];
    struct work *work = NULL;
    (void)self;
    if (opened(args, arrays, SHAPES, ARRAYS) < 0)
        return NULL;
    struct program program = program_of(arrays);
    struct batch batch = {arrays, 0, 0};
    if (are_even(arrays) && (work = new_work(&program)) != NULL) {
        uint8_t *codes = arrays[CODES].view.buf;
        Py_BEGIN_ALLOW_THREADS
        for (int64_t place = 0; place < arrays[ROWS].count; place++) {
            int64_t row = item(arrays + ROWS, place);
            codes[row] = (uint8_t)receipt(&batch, work, row);
        }
        Py_END_ALLOW_THREADS
        end_work(work);
    }
    closed(arrays, ARRAYS);
    return work == NULL ? NULL : PyLong_FromLongLong(batch.heads);
}

PyMethodDef receipts_methods[] = {
    {"receipts", receipts, METH_VARARGS,
     "receipts(*arrays): see app/decode/compiled/receipts.py; fills the last ten and returns how many heads it found."},
    {NULL, NULL, 0, NULL},
};
