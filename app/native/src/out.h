/* The scratch buffer that atoms are written to. Each function returns DECODED or TOO_MUCH. */
#ifndef CDC_OUT_H
#define CDC_OUT_H

#include "walk.h"

/* Room for `more` bytes behind those that are there, by a larger buffer. */
int grown_larger(struct work *work, int64_t more);
int by_key(const void *one, const void *other);
void moved_back(struct work *work, int64_t start, int64_t from);

static inline int grown(struct work *work, int64_t more)
{
    return more <= work->room - work->size ? DECODED : grown_larger(work, more);
}

static inline int put(struct work *work, const void *bytes, int64_t size)
{
    TRY(grown(work, size));
    if (size > 0) /* memcpy wants pointers even for no bytes */
        memcpy(work->out + work->size, bytes, (size_t)size);
    work->size += size;
    return DECODED;
}

static inline int put_byte(struct work *work, uint8_t byte)
{
    return put(work, &byte, 1);
}

static inline int put_u32(struct work *work, uint32_t number)
{
    return put(work, &number, sizeof number);
}

/* A tag and an int64, the commonest atom. */
static inline int put_tagged(struct work *work, uint8_t tag, int64_t number)
{
    TRY(put_byte(work, tag));
    return put(work, &number, sizeof number);
}

#endif
