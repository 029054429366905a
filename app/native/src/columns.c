/* Arrays in the smallest of the forms of app/ledger/columns.py, which says what they are. */
#include "walk.h"

enum form { WHOLE, SAME, STEPS, NEAR_1, NEAR_2, NEAR_4 };

static int are_same(const uint8_t *data, int64_t size, int64_t width)
{
    return memcmp(data, data + width, (size_t)(size - width)) == 0;
}

/* Numbers of 128 bits, in which no difference of two int64 and no sum of some of them is too large. */
static int are_steps(const int64_t *numbers, int64_t count)
{
    __int128 next = numbers[0], step = (__int128)numbers[1] - numbers[0];
    for (int64_t place = 0; place < count; place++, next += step)
        if (numbers[place] != next)
            return 0;
    return 1;
}

static enum form near_form(const int64_t *numbers, int64_t count, int64_t *least)
{
    int64_t most = *least = numbers[0];
    for (int64_t place = 1; place < count; place++) {
        *least = numbers[place] < *least ? numbers[place] : *least;
        most = numbers[place] > most ? numbers[place] : most;
    }
    uint64_t distance = (uint64_t)most - (uint64_t)*least;
    return distance <= UINT8_MAX ? NEAR_1 : distance <= UINT16_MAX ? NEAR_2 : distance <= UINT32_MAX ? NEAR_4 : WHOLE;
}

/* What each number is above the least, in as many bytes as its form says: below 2**32, as `near_form` has found. */
static void write_near(const int64_t *numbers, int64_t count, int64_t least, enum form form, uint8_t *out)
{
    for (int64_t place = 0; form == NEAR_1 && place < count; place++)
        out[place] = (uint8_t)((uint64_t)numbers[place] - (uint64_t)least);
    for (int64_t place = 0; form == NEAR_2 && place < count; place++) {
        uint16_t above = (uint16_t)((uint64_t)numbers[place] - (uint64_t)least);
        memcpy(out + 2 * place, &above, sizeof above);
    }
    for (int64_t place = 0; form == NEAR_4 && place < count; place++) {
        uint32_t above = (uint32_t)((uint64_t)numbers[place] - (uint64_t)least);
        memcpy(out + 4 * place, &above, sizeof above);
    }
}

static PyObject *near_bytes(const int64_t *numbers, int64_t count)
{
    static const int64_t WIDTHS[] = {[NEAR_1] = 1, [NEAR_2] = 2, [NEAR_4] = 4};
    int64_t least;
    enum form form = near_form(numbers, count, &least);
    if (form == WHOLE)
        return Py_BuildValue("(iO)", WHOLE, Py_None);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(8 + count * WIDTHS[form]));
    if (bytes == NULL)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(bytes);
    memcpy(out, &least, sizeof least);
    write_near(numbers, count, least, form, out + sizeof least);
    return Py_BuildValue("(iN)", form, bytes);
}

static PyObject *narrowed_bytes(const uint8_t *data, int64_t size, int64_t width, int are_numbers)
{
    const int64_t *numbers = (const int64_t *)data;
    if (are_same(data, size, width))
        return Py_BuildValue("(iy#)", SAME, data, (Py_ssize_t)width);
    if (!are_numbers)
        return Py_BuildValue("(iO)", WHOLE, Py_None);
    int64_t first_and_step[] = {numbers[0], (int64_t)((uint64_t)numbers[1] - (uint64_t)numbers[0])};
    if (size >= 3 * width && are_steps(numbers, size / width))
        return Py_BuildValue("(iy#)", STEPS, first_and_step, (Py_ssize_t)sizeof first_and_step);
    return near_bytes(numbers, size / width);
}

static PyObject *narrowed(PyObject *self, PyObject *args)
{
    Py_buffer data;
    long long width;
    int are_numbers;
    PyObject *found = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*Lp", &data, &width, &are_numbers))
        return NULL;
    if (width > 0 && data.len >= 2 * width && data.len % width == 0 && (!are_numbers || width == 8))
        found = narrowed_bytes(data.buf, data.len, width, are_numbers);
    else
        PyErr_SetString(PyExc_ValueError, "fewer than two items, or a part of one");
    PyBuffer_Release(&data);
    return found;
}

PyMethodDef columns_methods[] = {
    {"narrowed", narrowed, METH_VARARGS, "narrowed(array, width, are_int64): see app/ledger/columns.py; form and bytes."},
    {NULL, NULL, 0, NULL},
};
