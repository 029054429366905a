/* CRC-32C (Castagnoli), the checksum of record batches (RFC 3720, appendix B.4): by the processor, or by tables. */
#include "native.h"

enum { POLYNOMIAL = 0x82F63B78, SLICES = 8, VALUES = 256 };

/* tables[s][b] is what byte `b` does to the checksum when `s` more bytes follow it; 8 KiB, filled once. */
static uint32_t tables[SLICES][VALUES];

static void fill_tables(void)
{
    for (uint32_t byte = 0; byte < VALUES; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (int byte = 0; byte < VALUES; byte++) {
            uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xFF];
        }
}

static uint32_t by_tables(uint32_t crc, const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= SLICES; at += SLICES) {
        uint64_t word = load_u64(at) ^ crc;
        crc = 0;
        for (int slice = 0; slice < SLICES; slice++)
            crc ^= tables[SLICES - 1 - slice][(word >> (8 * slice)) & 0xFF];
    }
    for (; at < end; at++)
        crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
#define HAS_INSTRUCTION() __builtin_cpu_supports("sse4.2")

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, const uint8_t *end)
{
    uint64_t wide = crc;
    for (; end - at >= 8; at += 8)
        wide = __builtin_ia32_crc32di(wide, load_u64(at));
    crc = (uint32_t)wide;
    for (; at < end; at++)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#else
#define HAS_INSTRUCTION() 0
#define by_instruction by_tables
#endif

/* Chosen when the module is filled, before anybody can call it. */
static uint32_t (*chosen)(uint32_t, const uint8_t *, const uint8_t *) = by_tables;

void choose_crc32c(void)
{
    fill_tables();
    if (HAS_INSTRUCTION())
        chosen = by_instruction;
}

uint32_t crc32c(const uint8_t *data, int64_t size)
{
    return ~chosen(0xFFFFFFFF, data, data + size);
}

static PyObject *both_crc32c(PyObject *self, PyObject *args)
{
    const char *data;
    Py_ssize_t size;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#", &data, &size))
        return NULL;
    const uint8_t *at = (const uint8_t *)data;
    return Py_BuildValue("(II)", crc32c(at, size), ~by_tables(0xFFFFFFFF, at, at + size));
}

PyMethodDef crc32c_methods[] = {
    {"crc32c", both_crc32c, METH_VARARGS, "crc32c(data): as this processor makes it, and by tables; for the tests."},
    {NULL, NULL, 0, NULL},
};
