/* Changes: Debezium's envelopes to the columns of a ChangeBatch. */
#include "out.h"

/* Slots that have a meaning of their own; app/decode/compiled/envelopes.py has them in this order. */
enum { OP, TABLE, COLLECTION, CONNECTOR, DATABASE_SERVER, DATABASE, SOURCE_TS };

enum {
    POSITIONS = PROGRAM_ARRAYS, PROJECTIONS, KINDS,
    BUFFER, VALUE_STARTS, VALUE_SIZES, KEY_STARTS, KEY_SIZES, ROWS,
    CODES, FOUND_KINDS, OPS, FINGERPRINTS, TIMES, POSITION_HASHES, HAS_POSITION, TABLES,
    ARRAYS
};

static const struct shape SHAPES[ARRAYS] = {
    {"nodes", sizeof(struct node), 0}, {"columns", sizeof(struct column), 0}, {"names", 1, 0}, {"name_ends", 8, 0},
    {"positions", 8, 0}, {"projections", 8, 0}, {"kinds", 1, 0},
    {"buffer", 1, 0}, {"value_starts", 8, 0}, {"value_sizes", 8, 0}, {"key_starts", 8, 0}, {"key_sizes", 8, 0}, {"rows", 8, 0},
    {"codes", 1, 1}, {"found_kinds", 1, 1}, {"ops", 1, 1}, {"fingerprints", 8, 1}, {"times", 8, 1}, {"position_hashes", 8, 1},
    {"has_position", 1, 1}, {"tables", 8, 1},
};

enum { UNKNOWN_KIND = 0xFF, UPSERT = 1 }; /* of app.model.ChangeKind */

/* What a position is, for one connector: its name, whether the first field alone decides if there is one, and slots. */
enum { POSITION_FIELDS = 8 };

struct position {
    int64_t connector, needs_first, count, slots[POSITION_FIELDS];
};

struct batch {
    const struct program *program;
    struct array *arrays;
    int64_t projections;
};

static int is_text(const struct value *value, const uint8_t *text, int64_t size)
{
    return value->kind == IS_BYTES && value->size == size && memcmp(value->bytes, text, (size_t)size) == 0;
}

/* ---- positions: connector, name, database, op and the connector's fields as canonical bytes (app/decode/position.py) */

static int put_value(struct work *work, const struct value *value)
{
    enum { NULL_TAG = 0x00, NUMBER_TAG = 0x02, TEXT_TAG = 0x05 };
    switch (value->kind) {
    case IS_NULL:
        return put_byte(work, NULL_TAG);
    case IS_NUMBER:
        return put_tagged(work, NUMBER_TAG, value->number);
    case IS_BYTES:
        TRY(put_byte(work, TEXT_TAG));
        TRY(put_u32(work, (uint32_t)value->size));
        return put(work, value->bytes, value->size);
    default:
        return UNREAD;
    }
}

/* The fields of the record's connector, NULL where it is not known. */
static const struct position *position_of(const struct batch *batch, const struct work *work)
{
    const struct position *positions = batch->arrays[POSITIONS].view.buf;
    int64_t count = batch->arrays[POSITIONS].view.len / (int64_t)sizeof *positions;
    for (int64_t place = 0; place < count; place++) {
        int64_t size;
        const uint8_t *name = name_of(&batch->program->names, positions[place].connector, &size);
        if (is_text(&work->slots[CONNECTOR], name, size))
            return positions + place;
    }
    return NULL;
}

static int is_null_position(const struct work *work, const struct position *position)
{
    int64_t nulls = 0;
    for (int64_t place = 0; place < position->count; place++)
        nulls += work->slots[position->slots[place]].kind == IS_NULL;
    return work->slots[position->slots[0]].kind == IS_NULL && (position->needs_first || nulls == position->count);
}

/* Hash a position and the key's body; neither is there for a null key. */
static int hash_position(const struct batch *batch, struct work *work, int64_t row)
{
    static const int FIRST_SLOTS[] = {CONNECTOR, DATABASE_SERVER, DATABASE, OP};
    const struct array *arrays = batch->arrays;
    const struct position *position = position_of(batch, work);
    int64_t start = item(arrays + KEY_STARTS, row), size = item(arrays + KEY_SIZES, row);
    if (size < 0 || position == NULL || is_null_position(work, position))
        return DECODED;
    if (!is_inside(start, size, arrays[BUFFER].count))
        return TRUNCATED;
    const uint8_t *key = (const uint8_t *)arrays[BUFFER].view.buf + start;
    int64_t head = size >= FRAME && key[0] == 0 ? FRAME : 0;
    work->size = 0;
    for (int place = 0; place < 4; place++)
        TRY(put_value(work, &work->slots[FIRST_SLOTS[place]]));
    for (int64_t place = 0; place < position->count; place++)
        TRY(put_value(work, &work->slots[position->slots[place]]));
    TRY(put(work, key + head, size - head));
    uint64_t *hashes = (uint64_t *)arrays[POSITION_HASHES].view.buf + 2 * row;
    hashes[0] = xxh64(work->out, work->size, 0);
    hashes[1] = xxh64(work->out, work->size, 1);
    ((uint8_t *)arrays[HAS_POSITION].view.buf)[row] = 1;
    return DECODED;
}

/* ---- one change */

/* Whether the record is of the table that the program is for, which its first name is; else where the other's name lies. */
static int of_table(const struct batch *batch, const struct work *work, int64_t row)
{
    const uint8_t *buffer = batch->arrays[BUFFER].view.buf;
    int64_t *tables = (int64_t *)batch->arrays[TABLES].view.buf + 2 * row, size;
    const uint8_t *wanted = name_of(&batch->program->names, 0, &size);
    const struct value *table = &work->slots[TABLE];
    if (table->kind == IS_NULL || (table->kind == IS_BYTES && table->size == 0))
        table = &work->slots[COLLECTION];
    if (table->kind > IS_BYTES || table->kind == IS_NUMBER)
        return UNREAD;
    if (is_text(table, wanted, size) || (table->kind == IS_NULL && size == 0))
        return DECODED;
    tables[0] = table->kind == IS_NULL ? 0 : table->bytes - buffer;
    tables[1] = table->kind == IS_NULL ? 0 : table->size;
    return OTHER_TABLE;
}

static int kind_of(const struct batch *batch, const struct work *work, uint8_t *op, uint8_t *kind)
{
    const struct value *value = &work->slots[OP];
    if (value->kind != IS_BYTES || value->size != 1)
        return UNKNOWN_OP;
    *op = value->bytes[0];
    *kind = ((const uint8_t *)batch->arrays[KINDS].view.buf)[*op]; /* it has one for every byte */
    return *kind == UNKNOWN_KIND ? UNKNOWN_OP : DECODED;
}

static void write_fingerprints(const struct batch *batch, const struct work *work, int64_t row)
{
    uint64_t *fingerprints = (uint64_t *)batch->arrays[FINGERPRINTS].view.buf + row * batch->projections;
    for (int64_t place = 0; place < batch->projections; place++)
        fingerprints[place] = work->total - work->without[item(batch->arrays + PROJECTIONS, place)];
}

/* Nothing is written but a position and another table's name before it is certain that the record is decoded. */
static int change(const struct batch *batch, struct work *work, int64_t row)
{
    const struct array *arrays = batch->arrays;
    int64_t start = item(arrays + VALUE_STARTS, row), size = item(arrays + VALUE_SIZES, row);
    uint8_t op, kind;
    if (!is_inside(start, size, arrays[BUFFER].count) || size < FRAME)
        return TRUNCATED;
    TRY(walked(work, (const uint8_t *)arrays[BUFFER].view.buf + start + FRAME, size - FRAME));
    TRY(of_table(batch, work, row));
    TRY(kind_of(batch, work, &op, &kind));
    if (kind == UPSERT && !work->has_row)
        return NO_ROW;
    if (work->slots[SOURCE_TS].kind > IS_NUMBER)
        return UNREAD;
    TRY(hash_position(batch, work, row));
    if (kind == UPSERT)
        write_fingerprints(batch, work, row);
    if (work->slots[SOURCE_TS].kind == IS_NUMBER)
        ((int64_t *)arrays[TIMES].view.buf)[row] = work->slots[SOURCE_TS].number;
    ((uint8_t *)arrays[FOUND_KINDS].view.buf)[row] = kind;
    ((uint8_t *)arrays[OPS].view.buf)[row] = op;
    return DECODED;
}

/* ---- the entry */

static int are_even(const struct array *arrays, int64_t projections)
{
    int64_t count = arrays[VALUE_STARTS].count;
    static const int ONE_A_ROW[] = {VALUE_SIZES, KEY_STARTS, KEY_SIZES, CODES, FOUND_KINDS, OPS, TIMES, HAS_POSITION};
    int is_fine = arrays[FINGERPRINTS].count == count * projections && arrays[POSITION_HASHES].count == 2 * count
        && arrays[TABLES].count == 2 * count && arrays[KINDS].count == 256 && arrays[NODES].count > 0;
    for (size_t place = 0; place < sizeof ONE_A_ROW / sizeof *ONE_A_ROW; place++)
        is_fine &= arrays[ONE_A_ROW[place]].count == count;
    is_fine = is_fine && are_rows(arrays + ROWS, count);
    for (int64_t place = 0; is_fine && place < projections; place++)
        is_fine = item(arrays + PROJECTIONS, place) >= 0 && item(arrays + PROJECTIONS, place) < ACCUMULATORS;
    if (!is_fine)
        PyErr_SetString(PyExc_ValueError, "arrays of unequal length, or places outside of them");
    return is_fine;
}

static PyObject *changes(PyObject *self, PyObject *args)
{
    struct array arrays[ARRAYS];
    struct work *work = NULL;
    (void)self;
    if (opened(args, arrays, SHAPES, ARRAYS) < 0)
        return NULL;
    struct program program = program_of(arrays);
    struct batch batch = {&program, arrays, arrays[PROJECTIONS].count};
    if (are_even(arrays, batch.projections) && (work = new_work(&program)) != NULL) {
        uint8_t *codes = arrays[CODES].view.buf;
        Py_BEGIN_ALLOW_THREADS
        for (int64_t place = 0; place < arrays[ROWS].count; place++) {
            int64_t row = item(arrays + ROWS, place);
            codes[row] = (uint8_t)change(&batch, work, row);
        }
        Py_END_ALLOW_THREADS
        end_work(work);
    }
    closed(arrays, ARRAYS);
    return work == NULL ? NULL : Py_NewRef(Py_None);
}

PyMethodDef changes_methods[] = {
    {"changes", changes, METH_VARARGS, "changes(*arrays): see app/decode/compiled/changes.py; fills the last eight."},
    {NULL, NULL, 0, NULL},
};
