/* What a walk over one record's Avro bytes shares: the program that drives it, the cursor, and what was found.
 *
 * A program is compiled in Python (app/decode/compiled) from a writer schema, once. It is a tree of nodes, flattened:
 * the children of a node are `count` nodes from `first` on. Its depth is bounded when it is compiled, so that walks may
 * recurse. Every function of a walk returns a `code`; any but DECODED leaves the record to the reference. */
#ifndef CDC_WALK_H
#define CDC_WALK_H

#include "native.h"

/* Why the kernel leaves a record alone. The numbers are the kernel's own, but for DECODED, UNTOUCHED and OTHER_TABLE,
 * which app/decode/compiled/tables.py knows too. */
enum code {
    DECODED = 0,
    UNTOUCHED = 1, /* nobody looked at it; what callers fill their codes with */
    OTHER_TABLE = 2,
    TRUNCATED,
    BAD_NUMBER,
    BAD_TEXT,
    BAD_BRANCH,
    BAD_COUNT,
    BAD_SYMBOL,
    LEFT_OVER,
    UNREAD, /* its class can't read it, or reads it in a way that is too rare to be written here */
    TOO_MUCH,
    NO_ROW,
    UNKNOWN_OP,
    NOT_PLAIN,
};

/* The numbers of these three are app/decode/compiled/shapes.py's. */
enum kind { NOTHING, BOOLEAN, INTEGER, FLOAT, DOUBLE, BYTES, STRING, FIXED, ENUM, ARRAY, MAP, RECORD, UNION };

enum action { SKIP, SLOT, DESCEND, ROW, COLUMN };

enum atom_class {
    PLAIN, /* the atom that the Avro type alone asks for */
    TIMESTAMP,
    DATE,
    TIME,
    DURATION,
    NANO_DURATION,
    DECIMAL,
    VARIABLE_DECIMAL,
    BITS,
    INSTANT,
    LOCAL_TIMESTAMP,
    ISO_DATE,
    ISO_TIME,
    UUID,
    JSON,
    INTERVAL,
    REFUSED, /* a branch that the class of its union does not speak of */
};

/* One type. `count`: children; a fixed's size; an enum's symbols. `first`: the first child; an enum's or a record's first
 * name in the program's names. `param`: a class's number (units a second, nanoseconds a unit, a scale); of a record that
 * is an atom, its first field's name. `slot`: of a SLOT the slot, of a COLUMN (or ROW that is no record) the column. */
struct node {
    int64_t kind, first, count, class, param, action, slot;
};

/* One column of a row: `seed` is the hash of its name, `without` a bit for each accumulator that leaves it out. The forms
 * of the unavailable placeholder are `forms` names from `form` on: Avro bytes, without the branch of a nullable column. */
struct column {
    int64_t seed, without, form, forms;
};

struct names {
    const uint8_t *bytes;
    const int64_t *ends; /* one more than there are names; the first is 0 */
};

struct program {
    const struct node *nodes; /* the first is the record's own */
    const struct column *columns;
    struct names names;
    int64_t slots; /* those that some node has are below */
};

struct cursor {
    const uint8_t *at, *end;
};

enum value_kind { IS_NULL, IS_NUMBER, IS_BYTES, IS_OTHER };

/* What stood in a slot; bytes point into the record. */
struct value {
    int64_t kind, number, size;
    const uint8_t *bytes;
};

/* A member of a map, a record or a JSON object while it is sorted; `start` and `size` lie in the scratch buffer. */
struct part {
    const uint8_t *key;
    int64_t key_size, start, size;
};

enum {
    SLOTS = 32,        /* programs have fewer: app/decode/compiled/tables.py refuses others */
    ACCUMULATORS = 64, /* as many as a mask has bits; likewise */
    PARTS = 2048,      /* members of one record's maps that are open at once */
    JSON_DEPTH = 32,   /* deeper ones are the reference's */
};

/* What one call works with, for all its records. */
struct work {
    const struct program *program;
    struct cursor in;
    struct value slots[SLOTS];
    uint64_t total, without[ACCUMULATORS]; /* the sum, and what is to be subtracted from it */
    int64_t has_row, is_partial;           /* is_partial: some of `without` is not 0 */
    uint8_t *out;                          /* scratch: the atom that is being written */
    int64_t size, room;
    int64_t parts_used;
    struct part parts[PARTS]; /* last, since it is not cleared */
};

/* ---- avro.c, utf8.c */
int skipped(const struct program *program, struct cursor *in, const struct node *node);
int is_utf8(const uint8_t *at, int64_t size);

/* ---- atoms of protocol section 2, appended to the scratch buffer: atoms.c, members.c, decimal.c, texts.c, json.c. */
int put_atom(struct work *work, const struct node *node);
int put_list(struct work *work, const struct node *node);
int put_map(struct work *work, const struct node *node);
int put_record(struct work *work, const struct node *node);
int put_decimal(struct work *work, const uint8_t *unscaled, int64_t size, int64_t scale);
int put_read_text(struct work *work, int64_t class, const uint8_t *text, int64_t size);
int put_json(struct work *work, const uint8_t *text, int64_t size);

/* ---- record.c: one record; what its slots and columns held is in `work` afterwards. */
int walked(struct work *work, const uint8_t *body, int64_t size);

/* ---- framing.c: a value's Avro body behind Confluent's five bytes; TRUNCATED for one that lies outside of its buffer. */
enum { FRAME = 5 };
int is_inside(int64_t start, int64_t size, int64_t whole);

/* ---- arrays.c: arguments that are arrays. The first four of every entry are a program's. */
enum { NODES, COLUMNS, NAMES, NAME_ENDS, PROGRAM_ARRAYS };

struct array {
    Py_buffer view;
    int64_t count; /* items */
};

struct shape {
    const char *name;
    int64_t width, is_written; /* bytes of an item */
};

int opened(PyObject *args, struct array *arrays, const struct shape *shapes, int count);
void closed(struct array *arrays, int count);
int are_rows(const struct array *rows, int64_t count);
struct program program_of(const struct array *arrays);
struct work *new_work(const struct program *program);
void end_work(struct work *work);

static inline int64_t item(const struct array *array, int64_t place)
{
    return ((const int64_t *)array->view.buf)[place];
}

static inline const uint8_t *name_of(const struct names *names, int64_t index, int64_t *size)
{
    *size = names->ends[index + 1] - names->ends[index];
    return names->bytes + names->ends[index];
}

/* The first code that is not DECODED ends the caller. */
#define TRY(call)                                                                                                          \
    do {                                                                                                                   \
        int code_ = (call);                                                                                                \
        if (code_ != DECODED)                                                                                              \
            return code_;                                                                                                  \
    } while (0)

#endif
