# Pools: streams by id over rows of state, and the fast path of their steps.

from cpython.list cimport PyList_GET_ITEM
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from libc.string cimport memcpy
from libc.stdlib cimport realloc

cdef extern from "Python.h":
    PyObject *_lookup "PyDict_GetItemWithError"(object d, object key) except? NULL

cdef enum:
    AT_REST = 0
    IN_CALL = 1
    LOST = 2            # was in a call of another thread when this process was forked


def bare(error):
    """An exception to be kept: one of ours without its traceback, whose frames would keep the whole batch alive."""
    if isinstance(error, RnnrtError):
        error.__traceback__ = None
    return error


@cython.no_gc_clear  # __dealloc__ needs the program, which the collector would take away first
cdef class PoolCore:
    """Rows of state by id. ``rnnrt.streams.pool.Pool`` adds the rest.

    Its own tables are touched under the GIL only. A row that a call is using is marked, so that two threads may be
    in one pool at once, but never in one stream.
    """

    cdef Program program
    cdef rnnrt_pool *pool
    cdef dict rows                # id -> row
    cdef char *use                # by row
    cdef int64_t *spare           # rows that are free again
    cdef int64_t n_spare, n_rows, room
    cdef readonly int64_t max_batch
    cdef bint fast                # one data input, and outputs of one size for each stream
    cdef object idle              # what stands for state inputs in a call
    cdef int64_t in_numbers       # of one step of one stream
    cdef int in_rank
    cdef cnp.npy_intp in_dims[MAX_RANK]
    cdef int out_rank[MAX_IO]
    cdef cnp.npy_intp out_dims[MAX_IO][MAX_RANK]  # [0]: the batch
    cdef object __weakref__

    def __cinit__(self, Program program, int64_t max_batch, *args, **kwargs):
        cdef rnnrt_error err
        memset(&err, 0, sizeof(err))
        self.pool = NULL
        self.use = NULL
        self.spare = NULL
        self.program = program
        self.max_batch = max_batch
        self.rows = {}
        self.idle = program._idle(max_batch)
        self.fast = program.data_input >= 0 and (program.n_in == 1 or self.idle is not None) \
            and program.tables.streams and program.steps_fit and self._learn_shapes()
        if program.api.pool_create(program.model, max_batch, &self.pool, &err):
            program._fail(&err, None)

    def __dealloc__(self):
        if self.pool != NULL:
            self.program.api.pool_release(self.pool)
        free(self.use)
        free(self.spare)

    cdef bint _learn_shapes(self):
        """Shapes of one step of one stream; False where some length is not a constant."""
        cdef Program p = self.program
        cdef IoSpec *s = &p.inputs[p.data_input]
        cdef int i, k
        self.in_rank, self.in_numbers = 0, 1
        for i in range(s.rank):
            if i == 0 and s.kind[0] == AXIS_SYMBOL and s.value[0] == 0:
                continue
            if s.timed and i == 1:
                continue
            if s.kind[i] != AXIS_CONST:
                return False
            self.in_dims[self.in_rank] = s.value[i]
            self.in_numbers *= s.value[i]
            self.in_rank += 1
        if s.rank != self.in_rank + 1 + (1 if s.timed else 0):
            return False
        for k in range(p.n_out):
            s = &p.outputs[k]
            if s.rank < 1 or s.kind[0] != AXIS_SYMBOL or s.value[0] != 0:
                return False
            self.out_rank[k] = 1
            for i in range(1, s.rank):
                if s.timed and i == 1:
                    continue
                if s.kind[i] != AXIS_CONST:
                    return False
                self.out_dims[k][self.out_rank[k]] = s.value[i]
                self.out_rank[k] += 1
        return True

    # -- rows

    def __len__(self):
        return len(self.rows)

    def __contains__(self, id):
        return id in self.rows

    def __iter__(self):
        return iter(list(self.rows))

    def _admit(self, id):
        """The state that a stream begins with: uint8 (1, row_bytes), or None for zeros (overridden in Python)."""
        return None

    cdef int64_t _new_row(self) except -1:
        cdef rnnrt_error err
        cdef int64_t room
        cdef void *p
        if self.n_spare:
            self.n_spare -= 1
            return self.spare[self.n_spare]
        if self.n_rows == self.room:
            room = self.room * 2 if self.room else 64
            p = realloc(self.use, room)
            if p == NULL:
                raise MemoryError()
            self.use = <char *>p
            p = realloc(self.spare, room * sizeof(int64_t))
            if p == NULL:
                raise MemoryError()
            self.spare = <int64_t *>p
            self.room = room
        memset(&err, 0, sizeof(err))
        if self.program.api.pool_reserve(self.pool, self.n_rows + 1, &err):
            self.program._fail(&err, None)
        self.use[self.n_rows] = AT_REST
        self.n_rows += 1
        return self.n_rows - 1

    cdef int64_t _open(self, object id, object values) except -1:
        """A row for a stream that is not there."""
        cdef rnnrt_error err
        cdef int64_t row
        cdef const void *data = NULL
        if values is not None:
            data = self._row_bytes(values, 1)
        row = self._new_row()
        memset(&err, 0, sizeof(err))
        if self.program.api.pool_set_rows(self.pool, &row, 1, data, &err):
            self.program._fail(&err, None)
        self.rows[id] = row
        return row

    cdef int _close(self, object id, int64_t row) except -1:
        del self.rows[id]
        self.use[row] = AT_REST
        self.spare[self.n_spare] = row
        self.n_spare += 1
        return 0

    cdef const void *_row_bytes(self, object values, int64_t count) except NULL:
        if not cnp.PyArray_CheckExact(values) or cnp.PyArray_TYPE(<cnp.ndarray>values) != cnp.NPY_UINT8 \
                or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>values) or cnp.PyArray_NDIM(<cnp.ndarray>values) != 2 \
                or (<cnp.ndarray>values).shape[0] != count or (<cnp.ndarray>values).shape[1] != self.program.tables.row_bytes:
            raise StateError("rows must be uint8 (count, row_bytes)")
        return cnp.PyArray_DATA(<cnp.ndarray>values)

    cdef int64_t _row(self, object id) except -1:
        cdef PyObject *found = _lookup(self.rows, id)
        if found == NULL:
            raise StateError(f"stream {id!r} is not open")
        return <object>found

    cdef int64_t _resting(self, object id, bint lost_too) except -1:
        """The row of a stream that no call is using."""
        cdef int64_t row = self._row(id)
        if self.use[row] == IN_CALL or (self.use[row] == LOST and not lost_too):
            raise self._used(id, row)
        return row

    cdef object _used(self, object id, int64_t row):
        if self.use[row] == LOST:
            return StateError(
                f"stream {id!r} was in a step of another thread when this process was forked; put, reset or close it")
        return StateError(f"stream {id!r} is in use by another call")

    def open_row(self, id, values=None):
        """Open a stream at a row of state (zeros where None)."""
        if id in self.rows:
            raise StateError(f"stream {id!r} is open already")
        self._open(id, values)

    def close(self, id):
        """End a stream and free its row; StateError where it is not open, or in use by another call."""
        self._close(id, self._resting(id, True))

    def get_row(self, id):
        """A stream's state row, uint8 (1, row_bytes): a copy."""
        cdef rnnrt_error err
        cdef cnp.npy_intp dims[2]
        cdef int64_t row = self._resting(id, False)
        dims[0], dims[1] = 1, self.program.tables.row_bytes
        a = cnp.PyArray_EMPTY(2, dims, cnp.NPY_UINT8, 0)
        memset(&err, 0, sizeof(err))
        if self.program.api.pool_get_rows(self.pool, &row, 1, cnp.PyArray_DATA(<cnp.ndarray>a), &err):
            self.program._fail(&err, None)
        return a

    def set_row(self, id, values):
        """Put a stream's state row (zeros where None)."""
        cdef rnnrt_error err
        cdef const void *data = NULL
        cdef int64_t row = self._resting(id, True)
        if values is not None:
            data = self._row_bytes(values, 1)
        memset(&err, 0, sizeof(err))
        if self.program.api.pool_set_rows(self.pool, &row, 1, data, &err):
            self.program._fail(&err, None)
        self.use[row] = AT_REST

    def claim(self, id):
        """(row, whether it was opened now) of a stream that this call alone uses until :meth:`release`."""
        cdef int64_t row
        cdef PyObject *found = _lookup(self.rows, id)
        if found == NULL:
            values = self._admit(id)
            if id in self.rows:
                raise StateError(f"stream {id!r} is in use by another call")
            row = self._open(id, values)
            self.use[row] = IN_CALL
            return row, True
        row = <object>found
        if self.use[row] != AT_REST:
            raise self._used(id, row)
        self.use[row] = IN_CALL
        return row, False

    def release(self, id, bint drop):
        """End a claim; drop: close the stream too."""
        cdef int64_t row = self._row(id)
        self.use[row] = AT_REST
        if drop:
            self._close(id, row)

    def after_fork(self):
        """In a child: whatever another thread was using has no owner here."""
        cdef int64_t row
        for row in range(self.n_rows):
            if self.use[row] == IN_CALL:
                self.use[row] = LOST

    def get_rows(self, rows):
        """State rows, uint8 (n, row_bytes); rows: int64 array."""
        cdef rnnrt_error err
        cdef cnp.npy_intp dims[2]
        cdef cnp.ndarray r = rows
        dims[0], dims[1] = r.shape[0], self.program.tables.row_bytes
        a = cnp.PyArray_EMPTY(2, dims, cnp.NPY_UINT8, 0)
        memset(&err, 0, sizeof(err))
        if self.program.api.pool_get_rows(
                self.pool, <int64_t *>cnp.PyArray_DATA(r), dims[0], cnp.PyArray_DATA(<cnp.ndarray>a), &err):
            self.program._fail(&err, None)
        return a

    def set_rows(self, rows, values):
        """Put state rows back."""
        cdef rnnrt_error err
        cdef cnp.ndarray r = rows
        memset(&err, 0, sizeof(err))
        if self.program.api.pool_set_rows(
                self.pool, <int64_t *>cnp.PyArray_DATA(r), r.shape[0], self._row_bytes(values, r.shape[0]), &err):
            self.program._fail(&err, None)

    # -- batches

    cdef int32_t _call(self, const int64_t *rows, int64_t *symbols, int64_t lo, int64_t hi, Part *ins, Part *outs,
                       rnnrt_error *err, list interrupts, list host):
        """One call on streams [lo, hi) of a batch."""
        cdef rnnrt_buffer given[MAX_IO]
        cdef rnnrt_buffer made[MAX_IO]
        cdef rnnrt_call call
        cdef Program p = self.program
        cdef int32_t rc
        cdef int i
        memset(&call, 0, sizeof(call))
        memset(err, 0, sizeof(err[0]))
        for i in range(p.n_in):
            given[i].data, given[i].dtype, given[i].device = ins[i].data + lo * ins[i].stream, ins[i].dtype, 1
        for i in range(p.n_out):
            made[i].data, made[i].dtype, made[i].device = outs[i].data + lo * outs[i].stream, outs[i].dtype, 1
        symbols[0] = hi - lo
        call.struct_size = sizeof(rnnrt_call)
        call.symbols, call.inputs, call.outputs = symbols, given, made
        if interrupts is not None:
            call.poll, call.poll_context = _poll, <void *>interrupts
        if host is not None:
            call.host, call.host_context = _host, <void *>host
        if p._cost(symbols) < NOGIL_NS:
            rc = p.api.pool_run(self.pool, rows + lo, &call, err)
        else:
            with nogil:
                rc = p.api.pool_run(self.pool, rows + lo, &call, err)
        return rc

    cdef int _run(self, const int64_t *rows, int64_t *symbols, int64_t lo, int64_t hi, Part *ins, Part *outs,
                  dict errors, list interrupts) except -1:
        """Run a batch; where it fails, halve it until those that fail are alone. errors: position -> exception."""
        cdef rnnrt_error err
        cdef int64_t i
        cdef list host = None if self.program.hosts is None else [self.program.hosts, None, {}]
        if not self._call(rows, symbols, lo, hi, ins, outs, &err, interrupts, host):
            return 0
        if err.code == RNNRT_EINTERRUPT:
            self.program._fail(&err, interrupts)
        if host is not None and isinstance(host[1], BaseException) and not isinstance(host[1], Exception):
            raise host[1]
        if hi - lo == 1 or err.code not in (RNNRT_EID, RNNRT_EIDNAN, RNNRT_ESHAPE, RNNRT_EHOST):
            try:
                self.program._fail(&err, None, host)
            except Exception as e:
                for i in range(lo, hi):
                    errors[i] = bare(e)
            return 0
        i = (lo + hi) // 2
        self._run(rows, symbols, lo, i, ins, outs, errors, interrupts)
        return self._run(rows, symbols, i, hi, ins, outs, errors, interrupts)

    def run_rows(self, rows, list arrays, lengths, list outs):
        """One call on claimed rows and arrays that the caller has checked; {position: exception} of those that fail.

        lengths: by symbol. KeyboardInterrupt leaves the rows of this call as they were, or as after it.
        """
        cdef Part ins[MAX_IO]
        cdef Part made[MAX_IO]
        cdef int64_t symbols[MAX_SYMBOLS]
        cdef cnp.ndarray r = rows
        cdef int64_t n = r.shape[0]
        cdef int i
        cdef dict errors = {}
        for i in range(self.program.n_symbols):
            symbols[i] = lengths[i]
        for i, a in enumerate(arrays):
            _as_part(&ins[i], a, n)
        for i, a in enumerate(outs):
            _as_part(&made[i], a, n)
        self._run(<const int64_t *>cnp.PyArray_DATA(r), symbols, 0, n, ins, made, errors, [])
        return errors

    def _as_step(self, x):
        """Any array-like as an array of one step of one stream (overridden in Python)."""
        raise NotImplementedError

    cdef bint _lies(self, object x, int *t):
        """Whether x is one step as it lies; its dtype."""
        cdef int i
        if not cnp.PyArray_CheckExact(x):
            return False
        t[0] = cnp.PyArray_TYPE(<cnp.ndarray>x)
        i = rt_dtype(t[0])
        if i < 0 or not (self.program.inputs[self.program.data_input].accepts >> i) & 1 \
                or cnp.PyArray_NDIM(<cnp.ndarray>x) != self.in_rank or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x):
            return False
        for i in range(self.in_rank):
            if cnp.PyArray_DIMS(<cnp.ndarray>x)[i] != self.in_dims[i]:
                return False
        return True

    cdef Py_ssize_t _step_some(self, list keys, list values, Py_ssize_t lo, Py_ssize_t hi, dict results,
                               dict errors) except -1:
        """Step streams of keys[lo:hi] in one batch; the position that it came to (dtypes of ids may differ)."""
        cdef Program p = self.program
        cdef Part given                           # of the data input
        cdef Part ins[MAX_IO]
        cdef Part made[MAX_IO]
        cdef int64_t symbols[MAX_SYMBOLS]
        cdef int64_t *rows = <int64_t *>malloc(2 * sizeof(int64_t) * (hi - lo))
        cdef int64_t *places = rows + (hi - lo)   # of the streams of the batch in keys
        cdef int64_t n = 0, j, row
        cdef Py_ssize_t at = lo
        cdef int t = 0, type_num = -1, k, itemsize
        cdef PyObject *found
        cdef list fresh = None, ys
        cdef dict failed = {}
        cdef object buffer = None, key, x, y
        if rows == NULL:
            raise MemoryError()
        try:
            while at < hi:
                key = <object>PyList_GET_ITEM(keys, at)
                x = <object>PyList_GET_ITEM(values, at)
                if not self._lies(x, &t):
                    try:
                        x = self._as_step(x)
                        t = cnp.PyArray_TYPE(<cnp.ndarray?>x)
                    except Exception as e:
                        errors[key] = bare(e)
                        at += 1
                        continue
                if type_num < 0:
                    type_num = t
                    itemsize = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x)
                    given.stream = itemsize * self.in_numbers
                    given.dtype = rt_dtype(t)
                    buffer = PyBytes_FromStringAndSize(NULL, given.stream * (hi - lo))
                    given.data = PyBytes_AS_STRING(buffer)
                elif t != type_num:
                    break
                found = _lookup(self.rows, key)
                if found == NULL:
                    try:
                        row, _ = self.claim(key)
                    except Exception as e:
                        errors[key] = bare(e)
                        at += 1
                        continue
                    if fresh is None:
                        fresh = []
                    fresh.append(n)
                else:
                    row = <object>found
                    if self.use[row] != AT_REST:
                        errors[key] = self._used(key, row)
                        at += 1
                        continue
                    self.use[row] = IN_CALL
                rows[n] = row
                places[n] = at
                memcpy(given.data + n * given.stream, cnp.PyArray_DATA(<cnp.ndarray>x), given.stream)
                n += 1
                at += 1
            if n:
                for k in range(1, p.n_symbols):
                    symbols[k] = 1
                ys = []
                for k in range(p.n_out):
                    self.out_dims[k][0] = n
                    y = cnp.PyArray_EMPTY(self.out_rank[k], self.out_dims[k], p.outputs[k].dtype, 0)
                    _as_part(&made[k], y, n)
                    ys.append(y)
                for k in range(p.n_in):
                    if k == p.data_input:
                        ins[k] = given
                    else:
                        ins[k].data, ins[k].stream = <char *>cnp.PyArray_DATA(self.idle), 0
                        ins[k].dtype = rt_dtype(p.inputs[k].dtype)
                self._run(rows, symbols, 0, n, ins, made, failed, None)
                for j in range(n):
                    key = <object>PyList_GET_ITEM(keys, places[j])
                    if failed and j in failed:
                        errors[key] = failed[j]
                    elif p.single_output:
                        results[key] = _row_of(ys[0], made[0].data + j * made[0].stream, self.out_rank[0] - 1,
                                               &self.out_dims[0][1], p.outputs[0].dtype)
                    else:
                        results[key] = p._structured([
                            _row_of(ys[k], made[k].data + j * made[k].stream, self.out_rank[k] - 1,
                                    &self.out_dims[k][1], p.outputs[k].dtype) for k in range(p.n_out)])
        finally:
            for j in range(n):
                self.use[rows[j]] = AT_REST
            if fresh is not None and len(failed):
                for j in fresh:
                    if j in failed:
                        self._close(<object>PyList_GET_ITEM(keys, places[j]), rows[j])
            free(rows)
        return at

    def _step_slow(self, list keys, list values, dict results, dict errors):
        """The general path of step (overridden in Python)."""
        raise NotImplementedError

    def advance(self, batch):
        """({id: y}, {id: exception}) of one step of each stream named."""
        cdef dict results = dict(batch), errors = {}  # of the right size and order from the start
        cdef list keys = list(results), values = list(results.values())
        cdef Py_ssize_t at = 0, n = len(keys)
        if not self.fast:
            results = {}
            self._step_slow(keys, values, results, errors)
            return results, errors
        # each x gives way to its y
        while at < n:
            at = self._step_some(keys, values, at, min(n, at + self.max_batch), results, errors)
        for key in errors:
            del results[key]
        return results, errors
