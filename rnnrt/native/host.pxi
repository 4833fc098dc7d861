# Host ops: what the user's own cells and layers are called through.


cdef object _over(void *data, int nd, cnp.npy_intp *dims, cnp.npy_intp *strides, int np_type):
    """An array over memory of the core's; it must not outlive the call."""
    return cnp.PyArray_New(cnp.ndarray, nd, dims, np_type, strides, data, 0, cnp.NPY_ARRAY_WRITEABLE, None)


cdef object _host_array(const rnnrt_host_tensor *t):
    cdef cnp.npy_intp dims[8]
    cdef cnp.npy_intp strides[8]
    cdef cnp.npy_intp size = 1 if t.dtype == 7 else 4
    cdef cnp.npy_intp step = size
    cdef int i
    for i in range(t.rank - 1, -1, -1):
        dims[i] = t.shape[i]
        strides[i] = step
        step *= t.shape[i]
    strides[0] = t.batch_stride * size
    return _over(t.data, t.rank, dims, strides, cnp.NPY_BOOL if t.dtype == 7 else cnp.NPY_FLOAT32)


cdef object _slot(const rnnrt_host_call *c, cnp.npy_intp batch, int64_t offset, cnp.npy_intp length, int np_type):
    """A state slot of all rows: (batch, length)."""
    cdef cnp.npy_intp dims[2]
    cdef cnp.npy_intp strides[2]
    dims[0], dims[1] = batch, length
    strides[0], strides[1] = c.row_bytes, 4
    return _over(c.rows + offset, 2, dims, strides, np_type)


cdef int _host_call(list context, const rnnrt_host_call *c) except -1:
    """context: [host functions by op, exception of this call or None, what a call keeps between tiles]"""
    cdef int64_t i
    cdef cnp.npy_intp batch = c.in_[0].shape[0]
    host = (<dict>context[0])[c.op]
    inputs = [_host_array(&c.in_[i]) for i in range(c.n_in)]
    outputs = [_host_array(&c.out[i]) for i in range(c.n_out)]
    initial = [_host_array(&c.init[i]) for i in range(c.n_init)]
    mask = _host_array(c.mask) if c.mask != NULL else None
    slots = [_slot(c, batch, c.state_offset[i], c.state_floats[i], cnp.NPY_FLOAT32) for i in range(c.n_state)]
    has_output = _slot(c, batch, c.has_output, 1, cnp.NPY_INT32) if c.has_output >= 0 else None
    host(inputs, outputs, initial, mask, slots, has_output, c.position, context[2])
    return 0


cdef int32_t _host(void *context, const rnnrt_host_call *c) noexcept nogil:
    """rnnrt_host_fn: the exception is kept for the caller."""
    with gil:
        try:
            _host_call(<list>context, c)
            return 0
        except BaseException as e:
            (<list>context)[1] = e
            return 1
