/* Record batches of Kafka's format 2 (Kafka's documentation, "Implementation: Message Format") as columns of integers.

   A fetch response's bytes are walked twice. `scan` reads the batches' headers and checks them; `records` reads the
   records of bodies that are not compressed, or not any more. Both trust nothing: what a length says is compared with
   what is left before it is used, a position is never moved behind its end, and what is odd is told as a text. */
#include "native.h"

/* Where a batch has its fields, big-endian; the checksum covers all from the attributes on. */
enum {
    BATCH_LENGTH = 8, /* of what follows it */
    BATCH_MAGIC = 16,
    BATCH_CRC = 17,
    BATCH_ATTRIBUTES = 21,
    BATCH_LAST_DELTA = 23,
    BATCH_FIRST_TIMESTAMP = 27,
    BATCH_MAX_TIMESTAMP = 35,
    BATCH_PRODUCER = 43,
    BATCH_COUNT = 57,
    BATCH_HEADER = 61,
    BATCH_PREFIX = 12, /* the base offset and the length, which every format begins with */
};

/* Columns of the table of batches, a row a batch; topologies/raw_fetch.py names them too. */
enum { BODY, END, BASE, LAST, FIRST_TIMESTAMP, MAX_TIMESTAMP, COUNT, ATTRIBUTES, PRODUCER, BATCH_COLUMNS };

/* Rows of the table of records, a column a record. */
enum { OFFSET, TIMESTAMP, KEY, KEY_SIZE, VALUE, VALUE_SIZE, HEADERS, HEADER_COUNT, RECORD_COLUMNS };

/* Where reading records stands: batch and record to read next, its first byte (-1: the body's), the offset before it. */
enum { AT_BATCH, AT_RECORD, AT_BYTE, AT_OFFSET, CURSOR_COLUMNS };

enum { FORMAT = 2, CODEC = 0x07, LOG_APPEND_TIME = 0x08, SMALLEST_RECORD = 7 };

static inline int64_t big64(const uint8_t *at) { return (int64_t)__builtin_bswap64(load_u64(at)); }
static inline int32_t big32(const uint8_t *at) { return (int32_t)__builtin_bswap32(load_u32(at)); }
static inline int16_t big16(const uint8_t *at) { return (int16_t)(at[0] << 8 | at[1]); }

/* ---- batches ---- */

/* Fills a row from the header at `at`. At least BATCH_HEADER bytes are there, and `end` is behind the batch. */
static void fill_batch(const uint8_t *data, const uint8_t *at, const uint8_t *end, int64_t *row)
{
    row[BODY] = at - data + BATCH_HEADER;
    row[END] = end - data;
    row[BASE] = big64(at);
    row[LAST] = (int64_t)((uint64_t)row[BASE] + (uint64_t)(int64_t)big32(at + BATCH_LAST_DELTA));
    row[FIRST_TIMESTAMP] = big64(at + BATCH_FIRST_TIMESTAMP);
    row[MAX_TIMESTAMP] = big64(at + BATCH_MAX_TIMESTAMP);
    row[COUNT] = big32(at + BATCH_COUNT);
    row[ATTRIBUTES] = big16(at + BATCH_ATTRIBUTES);
    row[PRODUCER] = big64(at + BATCH_PRODUCER);
}

/* What is wrong with a batch's header, or NULL. `least` is the lowest offset that it may begin with. */
static const char *batch_fault(const uint8_t *at, const int64_t *row, int64_t least, int check_crc)
{
    int64_t covered = row[END] - row[BODY] + BATCH_HEADER - BATCH_ATTRIBUTES; /* bytes, from the attributes on */
    if (check_crc && (uint32_t)big32(at + BATCH_CRC) != crc32c(at + BATCH_ATTRIBUTES, covered))
        return "its checksum is not that of its bytes";
    if (row[BASE] < least || row[LAST] < row[BASE] || row[LAST] == INT64_MAX)
        return "its offsets do not follow those before it";
    if (row[COUNT] < 0 || row[COUNT] > row[LAST] - row[BASE] + 1)
        return "it counts more records than offsets";
    if (!(row[ATTRIBUTES] & CODEC) && row[COUNT] > (row[END] - row[BODY]) / SMALLEST_RECORD)
        return "it counts more records than its bytes can hold";
    return NULL;
}

/* Walks whole batches, at most `capacity`; `*position` is left at the first byte that was not taken.
   A batch that is cut off ends the walk without a fault: the next fetch brings it whole. */
static int64_t scan(const uint8_t *data, int64_t size, int check_crc, int64_t *table, int64_t capacity,
                    int64_t *position, const char **fault)
{
    int64_t count = 0, least = 0;
    for (*position = 0; count < capacity && size - *position > BATCH_MAGIC; count++) {
        const uint8_t *at = data + *position;
        int64_t left = size - *position - BATCH_PREFIX, length = big32(at + BATCH_LENGTH);
        int64_t *row = table + count * BATCH_COLUMNS;
        *fault = at[BATCH_MAGIC] == FORMAT ? NULL : "it is of another format than 2";
        if (!*fault && length < BATCH_HEADER - BATCH_PREFIX)
            *fault = "it is shorter than its header";
        if (*fault || length > left)
            break;
        fill_batch(data, at, at + BATCH_PREFIX + length, row);
        *fault = batch_fault(at, row, least, check_crc);
        if (*fault)
            break;
        least = row[LAST] + 1;
        *position += BATCH_PREFIX + length;
    }
    return count;
}

/* ---- records ---- */

/* Reads a zigzag varint of at most 10 bytes between `at` and `end`; NULL where there is none. */
static inline const uint8_t *varint(const uint8_t *at, const uint8_t *end, int64_t *value)
{
    uint64_t bits = 0;
    for (int shift = 0; shift < 70 && at < end; shift += 7) {
        uint8_t byte = *at++;
        bits |= (uint64_t)(byte & 0x7F) << shift; /* of the tenth byte one bit is kept */
        if (byte < 0x80) {
            *value = (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
            return at;
        }
    }
    return NULL;
}

/* Reads a length and leaves so many bytes behind; a negative length is null (size -1) and has none. */
static inline const uint8_t *field(const uint8_t *at, const uint8_t *end, const uint8_t **start, int64_t *size)
{
    if (!(at = varint(at, end, size)) || *size > end - at)
        return NULL;
    *start = at;
    if (*size < 0) {
        *size = -1;
        return at;
    }
    return at + *size;
}

/* Leaves headers behind: each a name, which can't be null, and a value. A count too high runs into the end. */
static const uint8_t *skip_headers(const uint8_t *at, const uint8_t *end, int64_t count)
{
    const uint8_t *start;
    int64_t size;
    for (; at && count > 0; count--) {
        at = field(at, end, &start, &size);
        at = at && size >= 0 ? field(at, end, &start, &size) : NULL;
    }
    return at;
}

/* One record, as bytes and as what its batch adds to it. */
struct record {
    const uint8_t *key, *value, *headers;
    int64_t key_size, value_size, header_count, offset_delta, timestamp_delta;
};

/* Reads the record at `at`, which must end where its length says; NULL where it does not. */
static const uint8_t *read_record(const uint8_t *at, const uint8_t *end, struct record *found)
{
    int64_t length;
    if (!(at = varint(at, end, &length)) || length < 1 || length > end - at)
        return NULL;
    end = at + length;
    if (*at++ & 0x80) /* attributes, none in use: a byte, which aiokafka reads as a varint; where the two differ, it is told */
        return NULL;
    if (!(at = varint(at, end, &found->timestamp_delta)) || !(at = varint(at, end, &found->offset_delta)))
        return NULL;
    if (!(at = field(at, end, &found->key, &found->key_size)))
        return NULL;
    if (!(at = field(at, end, &found->value, &found->value_size)))
        return NULL;
    if (!(at = varint(at, end, &found->header_count)) || found->header_count < 0)
        return NULL;
    found->headers = at;
    at = skip_headers(at, end, found->header_count);
    return at == end ? at : NULL;
}

/* The columns of one record; `step` is the distance between two columns. */
static void fill_record(const uint8_t *data, const struct record *found, const int64_t *batch, int64_t *row,
                        int64_t step)
{
    int is_append_time = (batch[ATTRIBUTES] & LOG_APPEND_TIME) != 0;
    uint64_t created = (uint64_t)batch[FIRST_TIMESTAMP] + (uint64_t)found->timestamp_delta; /* may wrap */
    row[OFFSET * step] = batch[BASE] + found->offset_delta;
    row[TIMESTAMP * step] = is_append_time ? batch[MAX_TIMESTAMP] : (int64_t)created;
    row[KEY * step] = found->key - data;
    row[KEY_SIZE * step] = found->key_size;
    row[VALUE * step] = found->value - data;
    row[VALUE_SIZE * step] = found->value_size;
    row[HEADERS * step] = found->headers - data;
    row[HEADER_COUNT * step] = found->header_count;
}

/* What `records` works on; the caller has checked that every array is as large as its counts say. */
struct reading {
    const uint8_t *data;
    const int64_t *batches;
    int64_t batch_count, start, *table, capacity, most_bytes, *cursor, filled;
    const char *fault;
};

/* Reads records of one batch until it ends or the table is full. Returns whether the batch is read to its end.
   A batch's body lies within the data (`are_bodies_inside`), and offsets have to ascend within [BASE, LAST]. */
static int read_batch(struct reading *all, const int64_t *batch, const uint8_t **first)
{
    int64_t *cursor = all->cursor;
    const uint8_t *at = all->data + (cursor[AT_BYTE] < 0 ? batch[BODY] : cursor[AT_BYTE]), *end = all->data + batch[END];
    for (; cursor[AT_RECORD] < batch[COUNT]; cursor[AT_RECORD]++) {
        struct record found;
        if (all->filled == all->capacity || (all->filled && at - *first >= all->most_bytes))
            return 0;
        const uint8_t *behind = read_record(at, end, &found);
        if (!behind || found.offset_delta < 0 || found.offset_delta > batch[LAST] - batch[BASE] ||
            batch[BASE] + found.offset_delta <= cursor[AT_OFFSET]) {
            all->fault = behind ? "the offsets of its records do not ascend within its own"
                                : "a record in it is not well formed";
            return 0;
        }
        cursor[AT_OFFSET] = batch[BASE] + found.offset_delta;
        if (cursor[AT_OFFSET] >= all->start) {
            *first = all->filled ? *first : at;
            fill_record(all->data, &found, batch, all->table + all->filled++, all->capacity);
        }
        at = behind;
        cursor[AT_BYTE] = at - all->data;
    }
    if (at != end)
        all->fault = "bytes follow its last record";
    return at == end;
}

static void read_batches(struct reading *all)
{
    const uint8_t *first = all->data;
    while (all->cursor[AT_BATCH] < all->batch_count) {
        if (!read_batch(all, all->batches + all->cursor[AT_BATCH] * BATCH_COLUMNS, &first))
            return;
        all->cursor[AT_BATCH]++;
        all->cursor[AT_RECORD] = 0;
        all->cursor[AT_BYTE] = -1;
    }
}

/* Whether every body, and the cursor in its batch, lies within the data, so that nothing outside is read. */
static int are_bodies_inside(const struct reading *all, int64_t size)
{
    const int64_t *cursor = all->cursor;
    for (int64_t row = 0; row < all->batch_count; row++) {
        const int64_t *batch = all->batches + row * BATCH_COLUMNS;
        int has_byte = row == cursor[AT_BATCH] && cursor[AT_BYTE] >= 0;
        if (batch[BODY] < 0 || batch[BODY] > batch[END] || batch[END] > size)
            return 0;
        if (batch[BASE] < 0 || batch[LAST] < batch[BASE])
            return 0;
        if (has_byte && (cursor[AT_BYTE] < batch[BODY] || cursor[AT_BYTE] > batch[END]))
            return 0;
    }
    return cursor[AT_BATCH] >= 0 && cursor[AT_RECORD] >= 0;
}

/* ---- what Python calls ---- */

static int64_t words(const Py_buffer *view)
{
    return view->len / (int64_t)sizeof(int64_t);
}

static PyObject *records_scan(PyObject *self, PyObject *args)
{
    Py_buffer data, table;
    int check_crc;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*pw*", &data, &check_crc, &table))
        return NULL;
    int64_t count, position;
    const char *fault = NULL;
    Py_BEGIN_ALLOW_THREADS
    count = scan(data.buf, data.len, check_crc, table.buf, words(&table) / BATCH_COLUMNS, &position, &fault);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    PyBuffer_Release(&table);
    return Py_BuildValue("(LLz)", (long long)count, (long long)position, fault);
}

static PyObject *records_records(PyObject *self, PyObject *args)
{
    Py_buffer data, batches, cursor, table;
    long long start, most_bytes;
    PyObject *answer = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*w*LLw*", &data, &batches, &cursor, &start, &most_bytes, &table))
        return NULL;
    struct reading all = {
        .data = data.buf, .batches = batches.buf, .batch_count = words(&batches) / BATCH_COLUMNS, .start = start,
        .table = table.buf, .capacity = words(&table) / RECORD_COLUMNS, .most_bytes = most_bytes, .cursor = cursor.buf,
    };
    if (words(&cursor) != CURSOR_COLUMNS || !are_bodies_inside(&all, data.len)) {
        PyErr_SetString(PyExc_ValueError, "the table of batches is not one of this buffer");
    } else {
        Py_BEGIN_ALLOW_THREADS
        read_batches(&all);
        Py_END_ALLOW_THREADS
        answer = Py_BuildValue("(Lz)", (long long)all.filled, all.fault);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&batches);
    PyBuffer_Release(&cursor);
    PyBuffer_Release(&table);
    return answer;
}

/* One header as (name, value or None); `*at` is left behind it. A name is read as Java's clients do: what is no UTF-8
   in it is replaced. */
static PyObject *one_header(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *name = NULL, *value = NULL;
    int64_t name_size = 0, value_size = 0;
    *at = field(*at, end, &name, &name_size);
    if (*at && name_size >= 0)
        *at = field(*at, end, &value, &value_size);
    if (!*at || name_size < 0) {
        PyErr_SetString(PyExc_ValueError, "no headers are here");
        return NULL;
    }
    PyObject *text = PyUnicode_DecodeUTF8((const char *)name, name_size, "replace");
    if (!text)
        return NULL;
    return Py_BuildValue("(Ny#)", text, value_size < 0 ? NULL : (const char *)value, (Py_ssize_t)value_size);
}

static PyObject *records_headers(PyObject *self, PyObject *args)
{
    Py_buffer data;
    long long start, count;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*LL", &data, &start, &count))
        return NULL;
    const uint8_t *end = (const uint8_t *)data.buf + data.len, *at = end;
    if (start >= 0 && start <= data.len)
        at = (const uint8_t *)data.buf + start;
    PyObject *found = PyList_New(0), *header;
    for (; found && count > 0; count--) {
        header = one_header(&at, end);
        if (!header || PyList_Append(found, header) < 0)
            Py_CLEAR(found);
        Py_XDECREF(header);
    }
    PyBuffer_Release(&data);
    PyObject *answer = found ? PyList_AsTuple(found) : NULL;
    Py_XDECREF(found);
    return answer;
}

PyMethodDef records_methods[] = {
    {"scan", records_scan, METH_VARARGS,
     "scan(data, check_crc, table) -> (batches, position, fault): a row of int64[n, 9] for each whole batch."},
    {"records", records_records, METH_VARARGS,
     "records(data, batches, cursor, start, most_bytes, table) -> (records, fault): columns of int64[8, n]."},
    {"headers", records_headers, METH_VARARGS, "headers(data, start, count): a tuple of (name, value or None)."},
    {NULL, NULL, 0, NULL},
};
