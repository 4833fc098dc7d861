# Sessions: rows of state, and the fast path of step and run.

from cpython.ref cimport PyObject


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o) nogil
    PyObject **PyObject_GET_WEAKREFS_LISTPTR(PyObject *o) nogil


cdef inline bint _alone(PyObject *a) noexcept:
    """Whether one reference, ours, is all that an array has; None never is."""
    return Py_REFCNT(a) == 1 and PyObject_GET_WEAKREFS_LISTPTR(a)[0] == NULL


@cython.no_gc_clear  # __dealloc__ needs the program, which the collector would take away first
cdef class SessionCore:
    """n rows of state on a program's backend. One thread at a time; ``rnnrt.Session`` adds the rest."""

    cdef Program program
    cdef rnnrt_session *session
    cdef readonly int64_t batch_size
    cdef object idle              # what stands for state inputs in a call
    cdef object mine, other       # the last results of step: see _result

    def __cinit__(self, Program program, int64_t batch_size, *args, **kwargs):
        cdef rnnrt_error err
        cdef int32_t rc
        memset(&err, 0, sizeof(err))
        self.session = NULL
        self.program = program
        self.batch_size = batch_size
        self.idle = program._idle(batch_size)
        rc = program.api.session_create(program.model, batch_size, &self.session, &err)
        if rc:
            program._fail(&err, None)

    def __dealloc__(self):
        if self.session != NULL:
            self.program.api.session_release(self.session)

    cdef object _result(self, IoSpec *s, const int64_t *symbols, rnnrt_buffer *made):
        """An array for the result of a step that nobody else has; None where its shape is an expression.

        The last two small ones are kept, and given again once their caller has dropped them: making an array takes
        as long as a small model's step. While a caller has the last result, its next step fills the other.
        """
        cdef object y
        if _alone(<PyObject *>self.other) and _usable_out(s, True, symbols, self.other, made):
            y = self.other
        else:
            y = _fresh(s, True, symbols, made)
            if y is None or cnp.PyArray_NBYTES(<cnp.ndarray>y) > KEPT_BYTES:
                return y
        self.other = self.mine
        self.mine = y
        return y

    def _slow(self, x, out, step, stream):
        """The general path of step and run (overridden in Python)."""
        raise NotImplementedError

    def step(self, x, out=None, *, stream=None):
        """Advance by one time step.

        Parameters
        ----------
        x : array (batch_size, features), or (batch_size,) of ids; a list or dict of them for several inputs.
        out : array of the output's shape, optional; the result is written there.
        stream : as in ``predict``, where x lies on a GPU.

        Returns
        -------
        array or structure
            As ``predict`` gives it, without the time axis.

        Raises
        ------
        ShapeError
            x has the wrong shape, or an id is outside its table. The state stays as it was.
        StateError
            Another thread is using this session.
        """
        y = self.program._fast(self, x, out, True) if stream is None else None
        return self._slow(x, out, True, stream) if y is None else y

    def run(self, chunk, out=None, *, stream=None):
        """Advance by a chunk of any length: (batch_size, T, features), or (batch_size, T) of ids.

        Returns and raises as :meth:`step`; outputs keep their time axis.
        """
        y = self.program._fast(self, chunk, out, False) if stream is None else None
        return self._slow(chunk, out, False, stream) if y is None else y

    def run_arrays(self, list arrays, lengths, list outs, size_t stream=0):
        """One call on arrays that the caller has checked, as ``Program.run_arrays``."""
        self.program._run_arrays(self.session, arrays, lengths, outs, stream)

    def memory(self):
        """Bytes that it holds on its device: rows of state, and its workspace so far; 0 where the backend does not tell."""
        cdef rnnrt_error err
        if self.program.api.session_memory == NULL:
            return 0
        memset(&err, 0, sizeof(err))
        n = self.program.api.session_memory(self.session, &err)
        if err.code:
            self.program._fail(&err, None)
        return n

    def get_rows(self, int64_t first, int64_t count):
        """State rows as uint8 (count, row_bytes): the same layout on every backend."""
        cdef rnnrt_error err
        cdef cnp.npy_intp dims[2]
        dims[0], dims[1] = count, self.program.tables.row_bytes
        if count < 0:
            raise StateError("a negative number of rows")
        a = cnp.PyArray_ZEROS(2, dims, cnp.NPY_UINT8, 0)
        memset(&err, 0, sizeof(err))
        if self.program.api.session_get_rows(self.session, first, count, cnp.PyArray_DATA(<cnp.ndarray>a), &err):
            self._row_fail(&err)
        return a

    def set_rows(self, int64_t first, rows):
        """Put rows back; rows is uint8 (count, row_bytes)."""
        cdef rnnrt_error err
        cdef cnp.ndarray a = cnp.PyArray_GETCONTIGUOUS(rows)
        if cnp.PyArray_TYPE(a) != cnp.NPY_UINT8 or cnp.PyArray_NDIM(a) != 2 or a.shape[1] != self.program.tables.row_bytes:
            raise StateError("rows must be uint8 (count, row_bytes)")
        memset(&err, 0, sizeof(err))
        if self.program.api.session_set_rows(self.session, first, a.shape[0], cnp.PyArray_DATA(a), &err):
            self._row_fail(&err)

    cdef int _row_fail(self, rnnrt_error *err) except -1:
        if err.code == RNNRT_EINVAL:
            raise StateError(f"rows outside 0..{self.batch_size}")
        return self.program._fail(err, None)
