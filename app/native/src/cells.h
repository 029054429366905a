/* Numbers of the fold's columns, as Python has them, and what the functions over those columns share. */
#ifndef CDC_CELLS_H
#define CDC_CELLS_H

#include "walk.h"

/* app/model/words.py: ChangeKind, with what app/ledger/rules.py adds to it. */
enum {
    KIND_ABSENT, KIND_UPSERT, KIND_DELETE, KIND_TRUNCATE, KIND_MESSAGE, KIND_TOMBSTONE, KIND_UNREADABLE, KIND_LOST,
    KIND_UNCHOSEN = 253, KIND_LEFT_OUT = 254,
};

/* app/model/projection.py: LeftOut. */
enum { LEFT_OUT_NO, LEFT_OUT_YES, LEFT_OUT_UNKNOWN };

/* app/model/words.py: ReceiptStatus, ANY_KIND. */
enum { STATUS_APPLIED, STATUS_DELETED, STATUS_SKIPPED, STATUS_REJECTED, STATUS_ANY_KIND = 255 };

/* app/model/words.py: State, with app/ledger/rules.py's NOTHING. */
enum {
    STATE_EXEMPT, STATE_REJECTED, STATE_UNVERIFIABLE, STATE_DUPLICATED, STATE_DELIVERED, STATE_SUPERSEDED, STATE_DIVERGED,
    STATE_ATTEMPTED, STATE_MISSING, STATE_PENDING, STATES, STATE_NOTHING = 255,
};

/* app/model/words.py: Flag, as far as a cell alone decides it, and how many there are. */
enum {
    FLAG_LATE = 1, FLAG_REDELIVERED = 2, FLAG_RECOVERED = 8, FLAG_REPAIRED = 16, FLAG_UNEXPECTED = 64, FLAG_SOURCE_DUPLICATE = 128,
    FLAGS = 8,
};

/* app/model/words.py: Level. */
enum { LEVEL_ATTEMPTED, LEVEL_PRESENT, LEVEL_FINGERPRINT, LEVEL_READ_BACK, LEVELS };

/* app/ledger/cells.py: Bit. */
enum {
    BIT_HAS_RECEIPT = 1, BIT_NOT_REJECTED = 2, BIT_GOOD = 4, BIT_WORD_HAS_FINGERPRINT = 8, BIT_WORD_NAMES_COMMAND = 16,
    BIT_WAS_GOOD = 32, BIT_RECOVERED = 64, BIT_MADE_GOOD_BY_COMMAND = 128, BIT_REDELIVERED = 256, BIT_REACHED = 512,
    BIT_HAS_SEQUENCE = 1024, BIT_WAIVED = 2048, BIT_LOST = 4096, BIT_READ_BACK = 32768,
};

/* app/model/words.py: NO_TIME; app/ledger/cells.py: NEVER. */
static const int64_t NO_TIME = INT64_MIN, NEVER = INT64_MAX;

static inline uint8_t byte(const struct array *arrays, int which, int64_t place)
{
    return ((const uint8_t *)arrays[which].view.buf)[place];
}

static inline uint16_t bits_at(const struct array *arrays, int which, int64_t place)
{
    return ((const uint16_t *)arrays[which].view.buf)[place];
}

/* Whether all is as it must be; else an exception is set. */
static inline int are_fine(int is_fine)
{
    if (!is_fine)
        PyErr_SetString(PyExc_ValueError, "arrays of unequal length, or places outside of them");
    return is_fine;
}

#endif
