/* The extension app.native._kernel: the functions of every part. */
#include "native.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernel is written for little-endian machines; without it the reference decodes"
#endif

static int filled(PyObject *module)
{
    PyMethodDef *parts[] = {hash_methods, framing_methods, changes_methods, receipts_methods};
    for (size_t place = 0; place < sizeof parts / sizeof *parts; place++)
        if (PyModule_AddFunctions(module, parts[place]) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, filled}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_kernel",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&definition);
}
