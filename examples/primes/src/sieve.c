#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* count(limit): how many primes lie below limit; the sieve of Eratosthenes. */
static PyObject *count(PyObject *self, PyObject *argument)
{
    long limit = PyLong_AsLong(argument), found = 0;
    if (limit == -1 && PyErr_Occurred())
        return NULL;
    if (limit < 0 || limit > 100000000) {
        PyErr_SetString(PyExc_ValueError, "limit must lie in 0..100000000");
        return NULL;
    }
    char *composite = PyMem_Calloc(limit + 1, 1);
    if (composite == NULL)
        return PyErr_NoMemory();
    for (long n = 2; n < limit; n++) {
        if (composite[n])
            continue;
        found++;
        for (long multiple = n * n; multiple < limit; multiple += n)
            composite[multiple] = 1;
    }
    PyMem_Free(composite);
    return PyLong_FromLong(found);
}

static PyMethodDef methods[] = {{"count", count, METH_O, "How many primes lie below a limit."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_sieve", NULL, -1, methods};

PyMODINIT_FUNC PyInit__sieve(void)
{
    return PyModule_Create(&module);
}
