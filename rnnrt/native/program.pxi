# A program on a backend, and the fast path of predict.

cdef int _poll(void *context) noexcept nogil:
    """Ctrl-C during a long run; the exception is kept for the caller."""
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as e:
            (<list>context).append(e)
            return 1
    return 0


cdef class SessionCore


cdef class Program:
    """A plan compiled for a backend: packed weights and all. Immutable, shared by any number of threads.

    tables is a ``rnnrt.tables.Tables``; nothing that it says is trusted. FormatError where it makes no sense. weights:
    what ``rnnrt.tables.arrays_of`` gives for it, read here and not kept.
    """

    cdef const rnnrt_backend *api
    cdef rnnrt_model *model
    cdef int n_in, n_out, n_symbols
    cdef int data_input               # the one that a session's calls take; -1: several
    cdef Form form, session_form      # of several inputs, in predict and in a session's calls
    cdef IoSpec inputs[MAX_IO]
    cdef IoSpec outputs[MAX_IO]
    cdef int64_t step_ns, row_ns      # estimate for one step of one row, and for each further row
    cdef readonly object tables
    cdef readonly str kernels
    cdef bint steps_fit               # the fast path knows the sizes of a step
    cdef bint single_output           # the output structure is one array,
    cdef bint flat_outputs            # or a list of all in order
    cdef dict hosts                   # op -> function of a class of the user's; None where there is none
    cdef readonly int device_index
    cdef readonly int place           # where its memory is: rnnrt_place

    def __cinit__(self):
        self.api = NULL
        self.model = NULL

    def __init__(self, Backend backend, tables, list weights, kernels="", int device=0, int math=0, int threads=1):
        cdef rnnrt_plan p
        cdef rnnrt_model_options opt
        cdef rnnrt_error err
        cdef bytes name = kernels.encode() if kernels else b""
        cdef cnp.ndarray a
        cdef const void **data = NULL
        cdef int i
        if self.model != NULL:
            raise RnnrtError("a program is made once")
        memset(&p, 0, sizeof(p))
        memset(&opt, 0, sizeof(opt))
        memset(&err, 0, sizeof(err))
        self.tables = tables
        self.api = backend.api
        self.device_index = device
        self.place = RNNRT_ON_CPU if self.api == rnnrt_cpu_backend() else backend.device(device)["place"]
        self.n_in, self.n_out, self.n_symbols = len(tables.inputs), len(tables.outputs), len(tables.symbols)
        if self.n_in > MAX_IO or self.n_out > MAX_IO or self.n_symbols > MAX_SYMBOLS:
            raise FormatError(f"more than {MAX_IO} inputs, outputs or free lengths")
        p.struct_size = sizeof(p)
        p.n_symbols = self.n_symbols
        keep = []
        p.dims = <const rnnrt_plan_dim *>_table(tables, "dims", keep, &p.n_dims)
        p.tensors = <const rnnrt_plan_tensor *>_table(tables, "tensors", keep, &p.n_tensors)
        p.ops = <const rnnrt_plan_op *>_table(tables, "ops", keep, &p.n_ops)
        p.refs = <const int64_t *>_table(tables, "refs", keep, &p.n_refs)
        p.weights = <const rnnrt_plan_weight *>_table(tables, "weights", keep, &p.n_weights)
        p.states = <const rnnrt_plan_state *>_table(tables, "states", keep, &p.n_states)
        p.regions = <const rnnrt_plan_region *>_table(tables, "regions", keep, &p.n_regions)
        p.inputs = <const rnnrt_plan_input *>_table(tables, "inputs", keep, &p.n_inputs)
        p.outputs = <const int64_t *>_table(tables, "outputs", keep, &p.n_outputs)
        a = tables.reals
        if cnp.PyArray_TYPE(a) != cnp.NPY_FLOAT64 or cnp.PyArray_NDIM(a) != 1 or not cnp.PyArray_ISCARRAY_RO(a):
            raise FormatError("the plan's reals are no list of float64")
        p.reals = <const double *>cnp.PyArray_DATA(a)
        p.n_reals = a.shape[0]
        p.row_bytes = tables.row_bytes
        p.streams = tables.streams and tables.bounded
        if p.n_weights != len(weights):
            raise FormatError("the plan's weights do not fit its table")
        data = <const void **>malloc(sizeof(void *) * (p.n_weights + 1))
        if data == NULL:
            raise MemoryError()
        for i in range(p.n_weights):
            a = weights[i]
            if not _holds(a, &p.weights[i]):
                free(data)
                raise FormatError(f"the plan's weight {i} does not fit its table")
            data[i] = cnp.PyArray_DATA(a)
        p.weight_data = data
        opt.struct_size = sizeof(opt)
        opt.device = device
        opt.threads = threads
        opt.kernels = <const char *>name if kernels else NULL
        opt.math = math
        try:
            rc = self.api.supports(&p, &err)
            if rc == 0:
                with nogil:
                    rc = self.api.model_create(&p, &opt, &self.model, &err)
        finally:
            free(data)
        if rc:
            self._fail(&err, None)
        self._learn_calls(&p)
        self.kernels = kernels or (default_kernels() if self.api == rnnrt_cpu_backend() else backend.name)
        self._learn_cost()

    cdef int _learn_calls(self, const rnnrt_plan *p) except -1:
        """What calls take and give; the core has checked the plan."""
        cdef object tables = self.tables
        cdef list keep = []
        cdef int i
        cdef int64_t n = 0
        cdef const int64_t *rows = <const int64_t *>_table(tables, "shown", keep, &n)
        if not n == len(tables.steps) == self.n_out or not (
                len(tables.fixed) == len(tables.starts) == len(tables.input_names) == self.n_in):
            raise FormatError("the plan's inputs and outputs do not fit its tables")
        if not _numbers_each(tables.input_structure, self.n_in) or not _numbers_each(tables.output_structure, self.n_out):
            raise FormatError("the plan's structures do not name each input and output once")
        for i in range(self.n_in):
            fixed = tables.fixed[i]
            _read_spec(&self.inputs[i], p, p.inputs[i].tensor, p.inputs[i].dtypes, -1 if fixed is None else fixed,
                       tables.starts[i])
        for i in range(self.n_out):
            if not _shows(p, rows[i], p.outputs[i]):
                raise FormatError(f"the plan's output {i} does not fit its tensor")
            _read_spec(&self.outputs[i], p, rows[i], 0, -1, False)
            self.outputs[i].timed = tables.steps[i]
        self.steps_fit = self._steps_fit()
        self.hosts = dict(tables.hosts) or None
        taken = [i for i in range(self.n_in) if not self.inputs[i].state]
        self.data_input = taken[0] if len(taken) == 1 else -1
        self.form = _form(tables.input_structure, tables.input_names, list(range(self.n_in)))
        self.session_form = _form(tables.input_structure, tables.input_names, taken)
        self.single_output = tables.output_structure == 0
        self.flat_outputs = tables.output_structure == list(range(self.n_out))
        return 0

    cdef bint _steps_fit(self) noexcept:
        """Whether arrays of a step can be sized here: the time that it leaves out is free, and bound to 1 by an input."""
        cdef int i, k
        cdef bint bound
        for i in range(self.n_in):
            if self.inputs[i].timed and (self.inputs[i].kind[1] != AXIS_SYMBOL or self.inputs[i].value[1] == 0):
                return False
        for i in range(self.n_out):
            if not self.outputs[i].timed:
                continue
            if self.outputs[i].rank < 2 or self.outputs[i].kind[1] != AXIS_SYMBOL:
                return False
            bound = False
            for k in range(self.n_in):
                bound = bound or (self.inputs[k].timed and self.inputs[k].value[1] == self.outputs[i].value[1])
            if not bound:
                return False
        return True

    def __dealloc__(self):
        if self.model != NULL:
            self.api.model_release(self.model)

    cdef int _fail(self, rnnrt_error *err, list interrupts, list host=None) except -1:
        """Raise the exception that a status means, with the layer's path."""
        if err.code == RNNRT_EHOST and host is not None and host[1] is not None:
            raise host[1]
        if err.code == RNNRT_EINTERRUPT and interrupts:
            raise interrupts[0]
        backend = self.api.name.decode()
        raise _fault(err, self.tables, backend, "" if self.place == RNNRT_ON_CPU else f"{backend}:{self.device_index}")

    cdef int _learn_cost(self) except -1:
        """Estimate a step of one and of many rows, so that a call's cost is a line: asking the backend takes longer."""
        cdef int64_t symbols[MAX_SYMBOLS]
        cdef rnnrt_error err
        cdef int i
        cdef int64_t length = 1, many = 64
        while length <= 4096:
            symbols[0] = 1
            for i in range(1, self.n_symbols):
                symbols[i] = length
            memset(&err, 0, sizeof(err))
            self.step_ns = self.api.model_cost(self.model, symbols, &err)
            if not err.code:
                symbols[0] = many
                self.row_ns = max(0, self.api.model_cost(self.model, symbols, &err) - self.step_ns) // (length * (many - 1)) + 1
                self.step_ns = self.step_ns // length + 1
                if self.api != rnnrt_cpu_backend():  # whoever waits for a device lets others run
                    self.step_ns = max(self.step_ns, <int64_t>NOGIL_NS)
                return 0
            length *= 8
        self.step_ns = self.row_ns = NOGIL_NS
        return 0

    cdef int64_t _cost(self, const int64_t *symbols) noexcept:
        """Estimated nanoseconds of a call."""
        cdef int64_t steps = 1
        cdef int i
        for i in range(1, self.n_symbols):
            steps = max(steps, symbols[i])
        return (self.step_ns + self.row_ns * (symbols[0] - 1)) * steps

    cdef int _execute(self, rnnrt_session *session, rnnrt_call *call, void *stream=NULL, int64_t *op_ns=NULL) except -1:
        """Run, with the GIL released where the work is worth it."""
        cdef rnnrt_error err
        cdef int32_t rc
        cdef list interrupts
        cdef list host = None
        err.msg[0] = 0
        call.struct_size = sizeof(rnnrt_call)
        call.flags = 0
        call.poll = NULL
        call.host = NULL
        call.stream = stream
        call.op_ns = op_ns
        if self.hosts is not None:
            host = [self.hosts, None, {}]
            call.host = _host
            call.host_context = <void *>host
        if self._cost(call.symbols) < NOGIL_NS:
            if session != NULL:
                rc = self.api.session_run(session, call, &err)
            else:
                rc = self.api.model_run(self.model, call, &err)
            interrupts = None
        else:
            interrupts = []
            call.poll = _poll
            call.poll_context = <void *>interrupts
            with nogil:
                if session != NULL:
                    rc = self.api.session_run(session, call, &err)
                else:
                    rc = self.api.model_run(self.model, call, &err)
        if rc:
            self._fail(&err, interrupts, host)
        return 0

    cdef list _gather(self, SessionCore session, object x, bint step, int64_t *symbols, rnnrt_buffer *given):
        """Buffers of several inputs, where all fit as they lie; the arrays, to be kept alive, or None."""
        cdef Form form = self.form if session is None else self.session_form
        cdef list flat
        cdef int64_t steps = -1, n
        cdef int i
        flat = form.leaves(x)
        if flat is None:
            if session is None or self.data_input < 0:
                return None
            flat = [None] * self.n_in
            flat[self.data_input] = x
        for i in range(self.n_in):
            if session is not None and self.inputs[i].state:  # put into the rows at reset; C does not read it here
                if session.idle is None:
                    return None
                given[i].data, given[i].dtype, given[i].device = cnp.PyArray_DATA(session.idle), rt_dtype(self.inputs[i].dtype), 1
                continue
            if not _fits(&self.inputs[i], flat[i], step and self.inputs[i].timed, session is None, symbols, &given[i]):
                return None
            if session is not None and not step and self.inputs[i].timed:
                n = cnp.PyArray_DIMS(<cnp.ndarray>flat[i])[1]
                if steps >= 0 and n != steps:
                    return None
                steps = n
        return flat

    cdef object _fast(self, SessionCore session, object x, object out, bint step):
        """The whole call where each input is an array that fits as it lies; None: take the slow path."""
        cdef int64_t symbols[MAX_SYMBOLS]
        cdef rnnrt_buffer given[MAX_IO]
        cdef rnnrt_buffer made[MAX_IO]
        cdef rnnrt_call call
        cdef int i
        cdef object y = None
        cdef list results = None, leaves = None
        if step and not self.steps_fit:
            return None
        for i in range(self.n_symbols):
            symbols[i] = -1
        if self.n_in == 1:
            if not _fits(&self.inputs[0], x, step and self.inputs[0].timed, session is None, symbols, given):
                return None
        else:
            leaves = self._gather(session, x, step, symbols, given)
            if leaves is None:
                return None
        if session is not None and symbols[0] != session.batch_size:
            return None
        for i in range(self.n_symbols):
            if symbols[i] < 0:
                return None
        if out is not None:
            if not self.single_output or not _usable_out(&self.outputs[0], step, symbols, out, &made[0]):
                return None
            # the kernels read inputs after they have begun to write outputs
            if leaves is None:
                if _overlap(x, out):
                    return None
            else:
                for leaf in leaves:
                    if leaf is not None and _overlap(leaf, out):
                        return None
            y = out
        elif session is not None and step and self.single_output:
            y = session._result(&self.outputs[0], symbols, &made[0])
            if y is None:
                return None
        else:
            if not self.single_output:
                results = []
            for i in range(self.n_out):
                y = _fresh(&self.outputs[i], step, symbols, &made[i])
                if y is None:
                    return None
                if results is not None:
                    results.append(y)
        call.symbols = symbols
        call.inputs = given
        call.outputs = made
        self._execute(NULL if session is None else session.session, &call)
        if results is None:
            return y
        return results if self.flat_outputs else self._structured(results)

    cdef object _idle(self, int64_t rows):
        """Zeros that stand for any of the state inputs in calls of that many rows; None where their size is open."""
        cdef cnp.npy_intp most = 0, n
        cdef int i, k
        for i in range(self.n_in):
            if not self.inputs[i].state:
                continue
            n = rows * 8
            for k in range(1, self.inputs[i].rank):
                if self.inputs[i].kind[k] != AXIS_CONST:
                    return None
                n *= self.inputs[i].value[k]
            most = max(most, n)
        return cnp.PyArray_ZEROS(1, &most, cnp.NPY_UINT8, 0) if most else None

    def _structured(self, results):
        """Outputs in the structure that Keras gives them (overridden in Python)."""
        return results

    def _slow(self, x, out, stream):
        """The general path of predict (overridden in Python)."""
        raise NotImplementedError

    def predict(self, x, out=None, *, stream=None):
        """Run the model on a batch, from the zero state. Pure: no state is read or kept; thread-safe.

        Parameters
        ----------
        x : array (batch, time, features), or (batch, time) of ids; a list or dict of them for several inputs.
            Any array-like of numbers; float32 (ids: also integers) in C order is used without a copy.
            Of a model on a GPU also arrays there (``__dlpack__``, ``__cuda_array_interface__``), of the input's dtype.
        out : array of the output's shape and dtype, optional; for models with one output.
        stream : where x lies on a GPU: the stream that the work is queued on (a number, or an object of torch or
            cupy); by default the current one of torch or cupy, or the one that the array tells, else the legacy
            default one.

        Returns
        -------
        array, list or dict
            In the structure, shapes and dtypes that Keras's ``predict`` gives; a :class:`rnnrt.DeviceArray` where x
            lies on a GPU, perhaps not made yet: whoever reads it on the stream waits.

        Raises
        ------
        ShapeError
            An input has the wrong rank or shape, is empty, or holds an id outside its table.
        MemoryError
            The run would need more memory than there is.
        """
        y = self._fast(None, x, out, False) if stream is None else None
        return self._slow(x, out, stream) if y is None else y

    cdef int _run_arrays(self, rnnrt_session *session, list arrays, object lengths, list outs, size_t stream=0,
                         int64_t *op_ns=NULL) except -1:
        """One call on arrays that are known to fit (dense, accepted dtypes); lengths by symbol."""
        cdef rnnrt_buffer given[MAX_IO]
        cdef rnnrt_buffer made[MAX_IO]
        cdef int64_t symbols[MAX_SYMBOLS]
        cdef rnnrt_call call
        cdef int i
        if len(arrays) != self.n_in or len(outs) != self.n_out or len(lengths) != self.n_symbols:
            raise RnnrtError("wrong number of arrays")
        for i in range(self.n_in):
            _as_buffer(arrays[i], &given[i])
        for i in range(self.n_out):
            _as_buffer(outs[i], &made[i])
        for i in range(self.n_symbols):
            symbols[i] = lengths[i]
        call.symbols = symbols
        call.inputs = given
        call.outputs = made
        return self._execute(session, &call, <void *>stream, op_ns)

    def run_arrays(self, list arrays, lengths, list outs, size_t stream=0):
        """predict on arrays that the caller has checked: NumPy's, lent ones, DeviceArrays. stream: 0 waits for the end."""
        self._run_arrays(NULL, arrays, lengths, outs, stream)

    def new_array(self, shape, str dtype, str device, size_t stream, stream_owner=None):
        """A DeviceArray for a result, its content undefined."""
        return _new_array(self.api, self.device_index, self.place, tuple(shape), dtype, device, stream, stream_owner)

    def follow(self, size_t stream, size_t before):
        """What is queued on the stream from now on comes after all that is queued on the other so far."""
        cdef rnnrt_error err
        cdef int32_t rc
        memset(&err, 0, sizeof(err))
        with nogil:
            if self.api.stream_wait != NULL:
                rc = self.api.stream_wait(self.device_index, <void *>stream, <void *>before, &err)
            else:
                rc = self.api.sync(self.device_index, <void *>before, &err)
        if rc:
            self._fail(&err, None)

    def wait(self, size_t stream):
        """Until all that is queued on the stream is done."""
        cdef rnnrt_error err
        cdef int32_t rc
        memset(&err, 0, sizeof(err))
        with nogil:
            rc = self.api.sync(self.device_index, <void *>stream, &err)
        if rc:
            self._fail(&err, None)

    def profile_arrays(self, list arrays, lengths, list outs):
        """:meth:`run_arrays`, and the nanoseconds that it spent in each op: int64 (ops,)."""
        cdef cnp.npy_intp n = len(self.tables.ops)
        spent = cnp.PyArray_ZEROS(1, &n, cnp.NPY_INT64, 0)
        self._run_arrays(NULL, arrays, lengths, outs, 0, <int64_t *>cnp.PyArray_DATA(<cnp.ndarray>spent))
        return spent

    def estimate(self, int64_t rows, int64_t steps):
        """Estimated nanoseconds of a call, without asking the backend."""
        return (self.step_ns + self.row_ns * (rows - 1)) * steps

    def device_memory(self):
        """Bytes on the device: ``packed`` weights, ``kept`` workspaces; empty where the backend does not tell."""
        cdef rnnrt_error err
        cdef rnnrt_memory memory
        if self.api.model_memory == NULL:
            return {}
        memset(&err, 0, sizeof(err))
        memset(&memory, 0, sizeof(memory))
        memory.struct_size = sizeof(memory)
        if self.api.model_memory(self.model, &memory, &err):
            self._fail(&err, None)
        return {"packed": memory.weights, "kept": memory.kept}

    def measure(self, lengths):
        """(workspace bytes, estimated nanoseconds) of a run with these lengths, in the order of plan.symbols."""
        cdef int64_t symbols[MAX_SYMBOLS]
        cdef rnnrt_error err
        cdef int i
        memset(&err, 0, sizeof(err))
        for i in range(self.n_symbols):
            symbols[i] = lengths[i]
        nbytes = self.api.model_workspace(self.model, symbols, &err)
        if err.code:
            self._fail(&err, None)
        return nbytes, self.api.model_cost(self.model, symbols, &err)
