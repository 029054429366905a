/* Confluent's framing (00, the schema id as int32 big-endian, the body), and hashes of record keys without it. */
#include "walk.h"

int is_inside(int64_t start, int64_t size, int64_t whole)
{
    return start >= 0 && size >= 0 && start <= whole && size <= whole - start;
}

static int is_framed(const uint8_t *bytes, int64_t size)
{
    return size >= FRAME && bytes[0] == 0;
}

/* One entry's arrays: a buffer, where its values lie, and two of results. */
enum { BUFFER, STARTS, SIZES, FIRST, SECOND, ARRAYS };

static int are_even(const struct array *arrays, int64_t count, int64_t firsts)
{
    if (arrays[SIZES].count == count && arrays[FIRST].count == firsts && arrays[SECOND].count == count)
        return 1;
    PyErr_SetString(PyExc_ValueError, "arrays of unequal length");
    return 0;
}

/* A value's bytes, NULL for a null one and for what lies outside of the buffer; `size` is then 0. */
static const uint8_t *value_of(const struct array *arrays, int64_t row, int64_t *size)
{
    int64_t start = ((const int64_t *)arrays[STARTS].view.buf)[row];
    *size = ((const int64_t *)arrays[SIZES].view.buf)[row];
    if (is_inside(start, *size, arrays[BUFFER].count))
        return (const uint8_t *)arrays[BUFFER].view.buf + start;
    *size = 0;
    return NULL;
}

/* The number of a schema id among those found so far, `*count` of them: a new one where there is room, else NO_SCHEMA. */
enum { NO_SCHEMA = 0xFF };

static uint8_t number_of(int32_t id, int32_t *ids, int64_t *count, int64_t room)
{
    for (int64_t number = 0; number < *count; number++)
        if (ids[number] == id)
            return (uint8_t)number;
    if (*count == room)
        return NO_SCHEMA;
    ids[*count] = id;
    return (uint8_t)(*count)++;
}

static PyObject *framing_schemas(PyObject *self, PyObject *args)
{
    static const struct shape SHAPES[ARRAYS] = {
        {"buffer", 1, 0}, {"starts", 8, 0}, {"sizes", 8, 0}, {"ids", 4, 1}, {"numbers", 1, 1}};
    struct array arrays[ARRAYS];
    (void)self;
    if (opened(args, arrays, SHAPES, ARRAYS) < 0)
        return NULL;
    int64_t count = arrays[STARTS].count, room = arrays[FIRST].count, found = 0;
    int is_fine = are_even(arrays, count, room) && room < NO_SCHEMA;
    int32_t *ids = arrays[FIRST].view.buf;
    uint8_t *numbers = arrays[SECOND].view.buf;
    for (int64_t row = 0; is_fine && row < count; row++) {
        int64_t size;
        const uint8_t *value = value_of(arrays, row, &size);
        numbers[row] = NO_SCHEMA;
        if (value != NULL && is_framed(value, size)) /* 1 + 4 is FRAME */
            numbers[row] = number_of((int32_t)__builtin_bswap32(load_u32(value + 1)), ids, &found, room);
    }
    closed(arrays, ARRAYS);
    return is_fine ? PyLong_FromLongLong(found) : NULL;
}

static PyObject *framing_keys(PyObject *self, PyObject *args)
{
    static const struct shape SHAPES[ARRAYS] = {
        {"buffer", 1, 0}, {"starts", 8, 0}, {"sizes", 8, 0}, {"hashes", 8, 1}, {"has_key", 1, 1}};
    struct array arrays[ARRAYS];
    (void)self;
    if (opened(args, arrays, SHAPES, ARRAYS) < 0)
        return NULL;
    int64_t count = arrays[STARTS].count;
    int is_fine = are_even(arrays, count, 2 * count);
    uint64_t *hashes = arrays[FIRST].view.buf;
    uint8_t *has_key = arrays[SECOND].view.buf;
    for (int64_t row = 0; is_fine && row < count; row++) {
        int64_t size;
        const uint8_t *key = value_of(arrays, row, &size);
        int64_t head = is_framed(key, size) ? FRAME : 0;
        has_key[row] = key != NULL;
        hashes[2 * row] = key == NULL ? 0 : xxh64(key + head, size - head, 0);
        hashes[2 * row + 1] = key == NULL ? 0 : xxh64(key + head, size - head, 1);
    }
    closed(arrays, ARRAYS);
    return is_fine ? Py_NewRef(Py_None) : NULL;
}

PyMethodDef framing_methods[] = {
    {"schemas", framing_schemas, METH_VARARGS, "schemas(buffer, starts, sizes, ids, numbers): see app/decode/framing.py."},
    {"key_hashes", framing_keys, METH_VARARGS, "key_hashes(buffer, starts, sizes, hashes, has_key): fills the last two."},
    {NULL, NULL, 0, NULL},
};
