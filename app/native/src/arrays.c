/* Arguments that are arrays: views of them, checked, and the program that the first four make. */
#include "walk.h"

#include <stddef.h>
#include <stdlib.h>

enum { FIRST_ROOM = 4096 /* bytes of scratch; it grows */ };

static int open_one(PyObject *given, struct array *array, const struct shape *shape)
{
    if (PyObject_GetBuffer(given, &array->view, shape->is_written ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
        return -1;
    if (array->view.len % shape->width != 0) {
        PyErr_Format(PyExc_ValueError, "%s: %zd bytes are no whole number of items", shape->name, array->view.len);
        PyBuffer_Release(&array->view);
        return -1;
    }
    array->count = array->view.len / shape->width;
    return 0;
}

/* Open `count` arrays; 0, or -1 with none of them open and an exception set. */
int opened(PyObject *args, struct array *arrays, const struct shape *shapes, int count)
{
    if (PyTuple_Size(args) != count) {
        PyErr_Format(PyExc_TypeError, "%d arrays are needed", count);
        return -1;
    }
    for (int place = 0; place < count; place++)
        if (open_one(PyTuple_GetItem(args, place), arrays + place, shapes + place) < 0) {
            closed(arrays, place);
            return -1;
        }
    return 0;
}

void closed(struct array *arrays, int count)
{
    for (int place = 0; place < count; place++)
        PyBuffer_Release(&arrays[place].view);
}

/* Whether each of some rows is one of `count`. */
int are_rows(const struct array *rows, int64_t count)
{
    for (int64_t place = 0; place < rows->count; place++)
        if (item(rows, place) < 0 || item(rows, place) >= count)
            return 0;
    return 1;
}

struct program program_of(const struct array *arrays)
{
    struct program program = {
        .nodes = arrays[NODES].view.buf,
        .columns = arrays[COLUMNS].view.buf,
        .names = {arrays[NAMES].view.buf, arrays[NAME_ENDS].view.buf},
    };
    for (const struct node *node = program.nodes; node < program.nodes + arrays[NODES].count; node++)
        if (node->action == SLOT && node->slot >= program.slots)
            program.slots = node->slot + 1;
    return program;
}

/* NULL, with an exception set, where there is no memory. */
struct work *new_work(const struct program *program)
{
    struct work *work = malloc(sizeof *work);
    uint8_t *out = malloc(FIRST_ROOM);
    if (work == NULL || out == NULL) {
        free(work);
        free(out);
        PyErr_NoMemory();
        return NULL;
    }
    memset(work, 0, offsetof(struct work, parts));
    work->out = out;
    work->room = FIRST_ROOM;
    work->program = program;
    return work;
}

void end_work(struct work *work)
{
    free(work->out);
    free(work);
}
