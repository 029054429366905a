/* XXH64, after its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
#include "native.h"

static const uint64_t PRIME1 = 0x9E3779B185EBCA87ULL;
static const uint64_t PRIME2 = 0xC2B2AE3D27D4EB4FULL;
static const uint64_t PRIME3 = 0x165667B19E3779F9ULL;
static const uint64_t PRIME4 = 0x85EBCA77C2B2AE63ULL;
static const uint64_t PRIME5 = 0x27D4EB2F165667C5ULL;

enum { STRIPE = 32, LANE = 8 };

static inline uint64_t rotated(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static inline uint64_t rounded(uint64_t lane, uint64_t input)
{
    return rotated(lane + input * PRIME2, 31) * PRIME1;
}

static inline uint64_t merged(uint64_t hash, uint64_t lane)
{
    return (hash ^ rounded(0, lane)) * PRIME1 + PRIME4;
}

/* Reads whole stripes while one fits between `*at` and `end`; leaves `*at` behind the last one. */
static uint64_t stripes(const uint8_t **at, const uint8_t *end, uint64_t seed)
{
    uint64_t a = seed + PRIME1 + PRIME2, b = seed + PRIME2, c = seed, d = seed - PRIME1;
    for (; end - *at >= STRIPE; *at += STRIPE) {
        a = rounded(a, load_u64(*at));
        b = rounded(b, load_u64(*at + 1 * LANE));
        c = rounded(c, load_u64(*at + 2 * LANE));
        d = rounded(d, load_u64(*at + 3 * LANE));
    }
    uint64_t hash = rotated(a, 1) + rotated(b, 7) + rotated(c, 12) + rotated(d, 18);
    return merged(merged(merged(merged(hash, a), b), c), d);
}

uint64_t xxh64(const uint8_t *data, int64_t size, uint64_t seed)
{
    const uint8_t *at = data, *end = data + size;
    uint64_t hash = size >= STRIPE ? stripes(&at, end, seed) : seed + PRIME5;
    hash += (uint64_t)size;
    for (; end - at >= 8; at += 8)
        hash = rotated(hash ^ rounded(0, load_u64(at)), 27) * PRIME1 + PRIME4;
    if (end - at >= 4) {
        hash = rotated(hash ^ ((uint64_t)load_u32(at) * PRIME1), 23) * PRIME2 + PRIME3;
        at += 4;
    }
    for (; at < end; at++)
        hash = rotated(hash ^ (*at * PRIME5), 11) * PRIME1;
    hash = (hash ^ (hash >> 33)) * PRIME2;
    hash = (hash ^ (hash >> 29)) * PRIME3;
    return hash ^ (hash >> 32);
}

static PyObject *hash_xxh64(PyObject *self, PyObject *args)
{
    const char *data;
    Py_ssize_t size;
    unsigned long long seed = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#|K", &data, &size, &seed))
        return NULL;
    return PyLong_FromUnsignedLongLong(xxh64((const uint8_t *)data, size, seed));
}

PyMethodDef hash_methods[] = {
    {"xxh64", hash_xxh64, METH_VARARGS, "xxh64(data, seed=0): XXH64 as an int; what the tests hold against the library."},
    {NULL, NULL, 0, NULL},
};
