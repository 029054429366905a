/* What a fence makes of the cells that it passes: plain states and flags (app/ledger/rules.py has the rules, in arrays and for one
 * cell), and the columns and counts of those that close. */
#include "cells.h"

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
    if (left_out == LEFT_OUT_YES)
        return KIND_LEFT_OUT;
    int is_row = kind == KIND_UPSERT || kind == KIND_DELETE;
    return left_out == LEFT_OUT_UNKNOWN && is_row && byte(arrays, EXPECTED, kind) ? KIND_UNCHOSEN : kind;
}

static uint8_t silent_state(const struct array *arrays, const int64_t *rule, int64_t place, uint8_t kind)
{
    int is_passed = rule[BASE] + place < rule[FENCE];
    int is_skipped = arrays[SKIPPED].count > 0 && kind != KIND_UNCHOSEN && byte(arrays, SKIPPED, place - rule[LO]);
    if (rule[IS_PROGRESS] && is_passed && !is_skipped)
        return STATE_ATTEMPTED;
    return is_passed || is_skipped ? STATE_MISSING : STATE_PENDING;
}

/* The first rule of protocol section 4 that fits, but for the keyed ones. */
static uint8_t state_of(const struct array *arrays, const int64_t *rule, int64_t place)
{
    uint8_t kind = kind_seen(arrays, rule, place);
    uint16_t bits = bits_at(arrays, CELL_BITS, place);
    int64_t offset = rule[BASE] + place;
    int is_told = (bits & BIT_HAS_RECEIPT) || offset < rule[FENCE];
    if (kind == KIND_ABSENT)
        return STATE_NOTHING;
    if (!byte(arrays, EXPECTED, kind) || offset < rule[BEGINNING])
        return STATE_EXEMPT;
    if ((bits & BIT_HAS_RECEIPT) && byte(arrays, STATUSES, place) == STATUS_REJECTED)
        return STATE_REJECTED;
    if (kind == KIND_LOST || (bits & BIT_LOST) || ((kind == KIND_UNREADABLE || kind == KIND_UNCHOSEN) && is_told))
        return STATE_UNVERIFIABLE;
    if (bits & BIT_GOOD)
        return rule[IS_FAULT] && (bits & BIT_REDELIVERED) ? STATE_DUPLICATED : STATE_DELIVERED;
    return bits & BIT_HAS_RECEIPT ? STATE_DIVERGED : silent_state(arrays, rule, place, kind);
}

static uint8_t heard_flags(const struct array *arrays, const int64_t *rule, int64_t place, uint8_t state)
{
    uint16_t bits = bits_at(arrays, CELL_BITS, place);
    int64_t since = item(arrays + SOURCE_TIMES, place);
    since = since == NO_TIME ? item(arrays + TIMES, place) : since;
    int64_t delay = (int64_t)((uint64_t)item(arrays + FIRST_AT, place) - (uint64_t)since); /* it wraps as numpy's does */
    int is_fine = state == STATE_DELIVERED || state == STATE_DUPLICATED;
    return (uint8_t)((delay > rule[LATE_AFTER] ? FLAG_LATE : 0) | (bits & BIT_REDELIVERED ? FLAG_REDELIVERED : 0)
                     | (bits & BIT_RECOVERED ? FLAG_RECOVERED : 0)
                     | (is_fine && (bits & BIT_MADE_GOOD_BY_COMMAND) ? FLAG_REPAIRED : 0));
}

/* All flags but out_of_order and guarded. */
static uint8_t flags_of(const struct array *arrays, const int64_t *rule, int64_t place, uint8_t state)
{
    uint16_t bits = bits_at(arrays, CELL_BITS, place);
    uint8_t flags = byte(arrays, REPEATED, place) ? FLAG_SOURCE_DUPLICATE : 0;
    if (state == STATE_EXEMPT) {
        int is_reached = (bits & BIT_REACHED) && rule[BASE] + place >= rule[BEGINNING];
        return flags | (is_reached && byte(arrays, KINDS, place) != KIND_TOMBSTONE ? FLAG_UNEXPECTED : 0);
    }
    return bits & BIT_HAS_RECEIPT ? flags | heard_flags(arrays, rule, place, state) : flags;
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
    return are_fine(is_fine);
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

/* app/model/words.py: SETTLED. */
static int is_settled(uint8_t state)
{
    return state == STATE_EXEMPT || state == STATE_DELIVERED || state == STATE_ATTEMPTED || state == STATE_SUPERSEDED
        || state == STATE_UNVERIFIABLE;
}

static int level_of_delivered(uint16_t bits)
{
    if (bits & BIT_READ_BACK)
        return LEVEL_READ_BACK;
    return bits & BIT_WORD_HAS_FINGERPRINT ? LEVEL_FINGERPRINT : LEVEL_PRESENT;
}

/* COUNTS: by state, by flag bit, by level (`rules.level_counts`), one behind the other. */
static void count(int64_t *counts, uint8_t state, uint8_t flags, uint16_t bits)
{
    counts[state]++;
    for (; flags; flags &= (uint8_t)(flags - 1))
        counts[STATES + __builtin_ctz(flags)]++;
    if (state == STATE_ATTEMPTED)
        counts[STATES + FLAGS + LEVEL_ATTEMPTED]++;
    else if (state == STATE_DELIVERED)
        counts[STATES + FLAGS + level_of_delivered(bits)]++;
}

/* Closes what is settled or waived; marks what needs more than that. A state is one of STATES, or no cell is here. */
static int64_t close_all(struct array *arrays)
{
    uint8_t *closed_states = arrays[CLOSED].view.buf, *closed_flags = arrays[CLOSED_FLAGS].view.buf;
    uint8_t *is_odd = arrays[IS_ODD].view.buf;
    int64_t odd = 0;
    for (int64_t place = 0; place < arrays[STATES_GIVEN].count; place++) {
        uint8_t state = byte(arrays, STATES_GIVEN, place), flags = byte(arrays, FLAGS_GIVEN, place);
        uint16_t bits = bits_at(arrays, BITS_GIVEN, place);
        if (state >= STATES)
            continue;
        odd += is_odd[place] = state == STATE_UNVERIFIABLE || !is_settled(state) || (bits & BIT_WAIVED);
        if (!is_settled(state) && !(bits & BIT_WAIVED))
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
    int64_t odd = are_fine(is_fine) ? close_all(arrays) : -1;
    closed(arrays, CLOSING_ARRAYS);
    return odd < 0 ? NULL : PyLong_FromLongLong(odd);
}

PyMethodDef judging_methods[] = {
    {"judge_cells", judge_cells, METH_VARARGS, "judge_cells(*arrays): see app/ledger/rules.py; fills the last two."},
    {"close_cells", close_cells, METH_VARARGS, "close_cells(*arrays): see app/ledger/fence.py; how many of the cells are odd."},
    {NULL, NULL, 0, NULL},
};
