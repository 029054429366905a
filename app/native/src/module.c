/* The extension app.native._kernel: the functions of every part. */
#include "native.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernel is written for little-endian machines; without it the reference decodes"
#endif

static int filled(PyObject *module)
{
    PyMethodDef *parts[] = {changes_methods, columns_methods,  crc32c_methods,   framing_methods, hash_methods,
                            hearing_methods, judging_methods, ordering_methods, receipts_methods, records_methods, window_methods};
    choose_crc32c();
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++)
        if (PyModule_AddFunctions(module, parts[part]))
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
