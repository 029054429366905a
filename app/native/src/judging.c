/* What a fence makes of the cells that it passes: plain states and flags (app/ledger/rules.py has the rules, in arrays and for one
 * cell), and the columns and counts of those that close. */
#include "walk.h"

/* app/model/words.py: ChangeKind, State, Flag, Level; app/model/projection.py: LeftOut. */
enum { ABSENT, UPSERT, DELETE, TRUNCATE, MESSAGE, TOMBSTONE, UNREADABLE, EXPIRED, UNCHOSEN = 253, IS_LEFT_OUT = 254 };
enum { EXEMPT, IS_REJECTED, UNVERIFIABLE, DUPLICATED, DELIVERED, SUPERSEDED, DIVERGED, ATTEMPTED, MISSING, PENDING, STATES, NOTHING_HERE = 255 };
enum { LATE = 1, REDELIVERED_FLAG = 2, RECOVERED_FLAG = 8, REPAIRED = 16, UNEXPECTED = 64, SOURCE_DUPLICATE = 128, FLAGS = 8 };
enum { BY_PROGRESS, BY_PRESENCE, BY_FINGERPRINT, BY_READING, LEVELS };
enum { NO, YES, UNKNOWN };
enum { REJECTED = 3 }; /* ReceiptStatus */

/* app/ledger/cells.py: Bit. */
enum {
    HAS_RECEIPT = 1, GOOD = 4, WORD_HAS_FINGERPRINT = 8, RECOVERED = 64, MADE_GOOD_BY_COMMAND = 128, REDELIVERED = 256,
    REACHED = 512, WAIVED = 2048, LOST = 4096, READ_BACK = 32768,
};

static const int64_t NO_TIME = INT64_MIN;

static inline uint8_t byte(const struct array *arrays, int which, int64_t place)
{
    return ((const uint8_t *)arrays[which].view.buf)[place];
}

static inline uint16_t bits_at(const struct array *bits, int64_t place)
{
    return ((const uint16_t *)bits->view.buf)[place];
}

static int refused(void)
{
    PyErr_SetString(PyExc_ValueError, "arrays of unequal length, or places outside of them");
    return 0;
}

/* ---- states and flags */

enum { RULE, EXPECTED, SKIPPED, KINDS, LEFT_OUT, SOURCE_TIMES, TIMES, REPEATED, CELL_BITS, STATUSES, FIRST_AT, FOUND_STATES,
       FOUND_FLAGS, JUDGED_ARRAYS };

static const struct shape JUDGED[JUDGED_ARRAYS] = {
    {"rule", 8, 0}, {"expected", 1, 0}, {"skipped", 1, 0}, {"kinds", 1, 0}, {"left_out", 1, 0}, {"source_ts_ms", 8, 0},
    {"timestamps", 8, 0}, {"duplicates", 1, 0}, {"bits", 2, 0}, {"status", 1, 0}, {"first_at", 8, 0}, {"states", 1, 1},
    {"flags", 1, 1},
};

/* The array RULE: a segment's first offset, the indices [lo, hi), the contract's projection and how many there are, the sink's
 * beginning and fence, whether its evidence is progress, whether redelivery is a fault, and after how many ms a receipt is late. */
enum { BASE, LO, HI, PROJECTION, PROJECTIONS, BEGINNING, FENCE, IS_PROGRESS, IS_FAULT, LATE_AFTER, RULES };

/* The kind as the contract sees it: `Expectations.seen`. */
static uint8_t kind_seen(const struct array *arrays, const int64_t *rule, int64_t place)
{
    uint8_t kind = byte(arrays, KINDS, place), left_out = byte(arrays, LEFT_OUT, place * rule[PROJECTIONS] + rule[PROJECTION]);
    if (left_out == YES)
        return IS_LEFT_OUT;
    int is_row = kind == UPSERT || kind == DELETE;
    return left_out == UNKNOWN && is_row && byte(arrays, EXPECTED, kind) ? UNCHOSEN : kind;
}

static uint8_t silent_state(const struct array *arrays, const int64_t *rule, int64_t place, uint8_t kind)
{
    int is_passed = rule[BASE] + place < rule[FENCE];
    int is_skipped = arrays[SKIPPED].count > 0 && kind != UNCHOSEN && byte(arrays, SKIPPED, place - rule[LO]);
    if (rule[IS_PROGRESS] && is_passed && !is_skipped)
        return ATTEMPTED;
    return is_passed || is_skipped ? MISSING : PENDING;
}

/* The first rule of protocol section 4 that fits, but for the keyed ones. */
static uint8_t state_of(const struct array *arrays, const int64_t *rule, int64_t place)
{
    uint8_t kind = kind_seen(arrays, rule, place);
    uint16_t bits = bits_at(arrays + CELL_BITS, place);
    int64_t offset = rule[BASE] + place;
    int is_told = (bits & HAS_RECEIPT) || offset < rule[FENCE];
    if (kind == ABSENT)
        return NOTHING_HERE;
    if (!byte(arrays, EXPECTED, kind) || offset < rule[BEGINNING])
        return EXEMPT;
    if ((bits & HAS_RECEIPT) && byte(arrays, STATUSES, place) == REJECTED)
        return IS_REJECTED;
    if (kind == EXPIRED || (bits & LOST) || ((kind == UNREADABLE || kind == UNCHOSEN) && is_told))
        return UNVERIFIABLE;
    if (bits & GOOD)
        return rule[IS_FAULT] && (bits & REDELIVERED) ? DUPLICATED : DELIVERED;
    return bits & HAS_RECEIPT ? DIVERGED : silent_state(arrays, rule, place, kind);
}

static uint8_t heard_flags(const struct array *arrays, const int64_t *rule, int64_t place, uint8_t state)
{
    uint16_t bits = bits_at(arrays + CELL_BITS, place);
    int64_t since = item(arrays + SOURCE_TIMES, place);
    since = since == NO_TIME ? item(arrays + TIMES, place) : since;
    int64_t delay = (int64_t)((uint64_t)item(arrays + FIRST_AT, place) - (uint64_t)since); /* it wraps as numpy's does */
    int is_fine = state == DELIVERED || state == DUPLICATED;
    return (uint8_t)((delay > rule[LATE_AFTER] ? LATE : 0) | (bits & REDELIVERED ? REDELIVERED_FLAG : 0)
                     | (bits & RECOVERED ? RECOVERED_FLAG : 0) | (is_fine && (bits & MADE_GOOD_BY_COMMAND) ? REPAIRED : 0));
}

/* All flags but out_of_order and guarded. */
static uint8_t flags_of(const struct array *arrays, const int64_t *rule, int64_t place, uint8_t state)
{
    uint16_t bits = bits_at(arrays + CELL_BITS, place);
    uint8_t flags = byte(arrays, REPEATED, place) ? SOURCE_DUPLICATE : 0;
    if (state == EXEMPT) {
        int is_reached = (bits & REACHED) && rule[BASE] + place >= rule[BEGINNING];
        return flags | (is_reached && byte(arrays, KINDS, place) != TOMBSTONE ? UNEXPECTED : 0);
    }
    return bits & HAS_RECEIPT ? flags | heard_flags(arrays, rule, place, state) : flags;
}

/* Every index that is used lies in [lo, hi) of a segment whose columns have all as many items. */
static int are_judged_even(const struct array *arrays)
{
    const int64_t *rule = arrays[RULE].view.buf;
    int64_t count = arrays[KINDS].count;
    int is_fine = arrays[RULE].count == RULES && arrays[EXPECTED].count == 256 && 0 <= rule[LO] && rule[LO] <= rule[HI]
        && rule[HI] <= count && 0 <= rule[BASE] && rule[BASE] < INT64_MAX / 2 && 0 <= rule[PROJECTION]
        && rule[PROJECTION] < rule[PROJECTIONS] && rule[PROJECTIONS] <= arrays[LEFT_OUT].count
        && arrays[LEFT_OUT].count == count * rule[PROJECTIONS];
    int64_t size = is_fine ? rule[HI] - rule[LO] : 0;
    for (int place = SOURCE_TIMES; place <= FIRST_AT; place++)
        is_fine = is_fine && arrays[place].count == count;
    is_fine = is_fine && arrays[FOUND_STATES].count == size && arrays[FOUND_FLAGS].count == size
        && (arrays[SKIPPED].count == 0 || arrays[SKIPPED].count == size);
    return is_fine ? 1 : refused();
}

static PyObject *judge_cells(PyObject *self, PyObject *args)
{
    struct array arrays[JUDGED_ARRAYS];
    (void)self;
    if (opened(args, arrays, JUDGED, JUDGED_ARRAYS) < 0)
        return NULL;
    int is_fine = are_judged_even(arrays);
    const int64_t *rule = arrays[RULE].view.buf;
    uint8_t *states = arrays[FOUND_STATES].view.buf, *flags = arrays[FOUND_FLAGS].view.buf;
    for (int64_t place = is_fine ? rule[LO] : 0; is_fine && place < rule[HI]; place++) {
        uint8_t state = state_of(arrays, rule, place);
        states[place - rule[LO]] = state;
        flags[place - rule[LO]] = flags_of(arrays, rule, place, state);
    }
    closed(arrays, JUDGED_ARRAYS);
    return is_fine ? Py_NewRef(Py_None) : NULL;
}

/* ---- closing, and counting what closed */

enum { STATES_GIVEN, FLAGS_GIVEN, BITS_GIVEN, CLOSED, CLOSED_FLAGS, IS_ODD, COUNTS, CLOSING_ARRAYS };

static const struct shape CLOSING[CLOSING_ARRAYS] = {
    {"states", 1, 0}, {"flags", 1, 0}, {"bits", 2, 0}, {"closed", 1, 1}, {"cell_flags", 1, 1}, {"is_odd", 1, 1}, {"counts", 8, 1},
};

static int is_settled(uint8_t state)
{
    return state == EXEMPT || state == DELIVERED || state == ATTEMPTED || state == SUPERSEDED || state == UNVERIFIABLE;
}

/* COUNTS: by state, by flag bit, by level (`rules.level_counts`), one behind the other. */
static void count(int64_t *counts, uint8_t state, uint8_t flags, uint16_t bits)
{
    counts[state]++;
    for (; flags; flags &= (uint8_t)(flags - 1))
        counts[STATES + __builtin_ctz(flags)]++;
    if (state == ATTEMPTED)
        counts[STATES + FLAGS + BY_PROGRESS]++;
    else if (state == DELIVERED)
        counts[STATES + FLAGS + (bits & READ_BACK ? BY_READING : bits & WORD_HAS_FINGERPRINT ? BY_FINGERPRINT : BY_PRESENCE)]++;
}

/* Closes what is settled or waived; marks what needs more than that. A state is one of STATES, or no cell is here. */
static int64_t close_all(struct array *arrays)
{
    uint8_t *closed_states = arrays[CLOSED].view.buf, *closed_flags = arrays[CLOSED_FLAGS].view.buf, *is_odd = arrays[IS_ODD].view.buf;
    int64_t odd = 0;
    for (int64_t place = 0; place < arrays[STATES_GIVEN].count; place++) {
        uint8_t state = byte(arrays, STATES_GIVEN, place), flags = byte(arrays, FLAGS_GIVEN, place);
        uint16_t bits = bits_at(arrays + BITS_GIVEN, place);
        if (state >= STATES)
            continue;
        odd += is_odd[place] = state == UNVERIFIABLE || !is_settled(state) || (bits & WAIVED);
        if (!is_settled(state) && !(bits & WAIVED))
            continue;
        closed_states[place] = state + 1;
        closed_flags[place] = flags;
        count(arrays[COUNTS].view.buf, state, flags, bits);
    }
    return odd;
}

static PyObject *close_cells(PyObject *self, PyObject *args)
{
    struct array arrays[CLOSING_ARRAYS];
    (void)self;
    if (opened(args, arrays, CLOSING, CLOSING_ARRAYS) < 0)
        return NULL;
    int is_fine = arrays[COUNTS].count == STATES + FLAGS + LEVELS;
    for (int place = FLAGS_GIVEN; place <= IS_ODD; place++)
        is_fine = is_fine && arrays[place].count == arrays[STATES_GIVEN].count;
    int64_t odd = is_fine ? close_all(arrays) : refused();
    closed(arrays, CLOSING_ARRAYS);
    return is_fine ? PyLong_FromLongLong(odd) : NULL;
}

PyMethodDef judging_methods[] = {
    {"judge_cells", judge_cells, METH_VARARGS, "judge_cells(*arrays): see app/ledger/rules.py; fills the last two."},
    {"close_cells", close_cells, METH_VARARGS, "close_cells(*arrays): see app/ledger/fence.py; how many of the cells are odd."},
    {NULL, NULL, 0, NULL},
};
