/* What the parts of the kernel share. Each part is one file and gives module.c its table of functions. */
#ifndef CDC_NATIVE_H
#define CDC_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* XXH64 of `size` bytes (the specification's algorithm; every fingerprint is one of these, protocol section 2). */
uint64_t xxh64(const uint8_t *data, int64_t size, uint64_t seed);

/* Unaligned reads of this machine's byte order; memcpy is the only way that C allows, and compiles to one load. */
static inline uint64_t load_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t load_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* CRC-32C of `size` bytes; `choose_crc32c` is called once before, when the module is filled. */
uint32_t crc32c(const uint8_t *data, int64_t size);
void choose_crc32c(void);

extern PyMethodDef changes_methods[];
extern PyMethodDef columns_methods[];
extern PyMethodDef crc32c_methods[];
extern PyMethodDef framing_methods[];
extern PyMethodDef hash_methods[];
extern PyMethodDef hearing_methods[];
extern PyMethodDef judging_methods[];
extern PyMethodDef ordering_methods[];
extern PyMethodDef receipts_methods[];
extern PyMethodDef records_methods[];
extern PyMethodDef window_methods[];

#endif
