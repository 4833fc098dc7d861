# What a program takes and gives, and whether an array can be used as it lies.

cdef struct IoSpec:
    int dtype             # NumPy's number; of an input: what foreign arrays are cast to
    int rank
    bint timed            # axis 1 is the time that steps drop
    bint state            # inputs: where a state starts; a session's calls do not take it
    int64_t fixed         # inputs: the time length that the file wrote, which binds predict; -1: none
    int64_t accepts       # inputs: bit set of rnnrt_dtype that may come as they are
    int kind[MAX_RANK]
    int64_t value[MAX_RANK]


cdef int _read_spec(IoSpec *s, const rnnrt_plan *p, int64_t tensor, int64_t accepts, int64_t fixed,
                    bint state) except -1:
    """What a call takes or gives for a tensor of a plan that the core has checked."""
    cdef const rnnrt_plan_tensor *t = &p.tensors[tensor]
    cdef const rnnrt_plan_dim *d
    cdef int i
    s.dtype = np_dtype(<int>t.dtype)
    if s.dtype < 0:
        raise FormatError(f"tensor {tensor} of the plan has a dtype that no array has")
    s.rank = <int>t.rank
    s.timed = t.timed != 0
    s.state = state
    s.accepts = accepts
    s.fixed = fixed
    for i in range(s.rank):
        d = &p.dims[t.dims[i]]
        s.kind[i], s.value[i] = AXIS_SLOW, 0
        if d.kind == RNNRT_DIM_CONST:
            s.kind[i], s.value[i] = AXIS_CONST, d.m
        elif d.kind == RNNRT_DIM_SYMBOL:
            s.kind[i], s.value[i] = AXIS_SYMBOL, d.a
    return 0


cdef bint _shows(const rnnrt_plan *p, int64_t tensor, int64_t written) noexcept:
    """Whether a tensor is the written one, or names the same bytes."""
    if tensor < 0 or tensor >= p.n_tensors:
        return False
    while tensor != written and p.tensors[tensor].alias >= 0:
        tensor = p.tensors[tensor].alias
    return tensor == written


cdef bint _fits(IoSpec *s, object x, bint drop_time, bint whole, int64_t *symbols, rnnrt_buffer *out) noexcept:
    """Whether x can be used as it lies; binds symbols (preset to -1) and fills the buffer."""
    cdef int i, j = 0, t
    cdef int64_t n
    if not cnp.PyArray_CheckExact(x):
        return False
    t = rt_dtype(cnp.PyArray_TYPE(<cnp.ndarray>x))
    if t < 0 or not (s.accepts >> t) & 1 or cnp.PyArray_NDIM(<cnp.ndarray>x) != s.rank - drop_time \
            or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x):
        return False
    for i in range(s.rank):
        if drop_time and i == 1:
            n = 1
        else:
            n = cnp.PyArray_DIMS(<cnp.ndarray>x)[j]
            j += 1
        if n < 1 or (whole and i == 1 and s.fixed >= 0 and n != s.fixed):
            return False
        if s.kind[i] == AXIS_CONST:
            if n != s.value[i]:
                return False
        elif s.kind[i] == AXIS_SYMBOL:
            if symbols[s.value[i]] < 0:
                symbols[s.value[i]] = n
            elif symbols[s.value[i]] != n:
                return False
        else:
            return False
    out.data = cnp.PyArray_DATA(<cnp.ndarray>x)
    out.dtype = t
    out.device = 1
    return True


cdef object _fresh(IoSpec *s, bint step, const int64_t *symbols, rnnrt_buffer *buf):
    """A new array for an output, and its buffer; None where an axis is an expression."""
    cdef object y
    cdef cnp.npy_intp dims[MAX_RANK]
    cdef int i, j = 0
    for i in range(s.rank):
        if step and s.timed and i == 1:
            continue
        if s.kind[i] == AXIS_SLOW:
            return None
        dims[j] = s.value[i] if s.kind[i] == AXIS_CONST else symbols[s.value[i]]
        j += 1
    y = cnp.PyArray_EMPTY(j, dims, s.dtype, 0)
    buf.data = cnp.PyArray_DATA(<cnp.ndarray>y)
    buf.dtype = rt_dtype(s.dtype)
    buf.device = 1
    return y


cdef bint _usable_out(IoSpec *s, bint step, const int64_t *symbols, object out, rnnrt_buffer *buf) noexcept:
    """Whether a caller's array can take an output as it lies."""
    cdef int i, j = 0
    if not cnp.PyArray_CheckExact(out) or not cnp.PyArray_ISCARRAY(<cnp.ndarray>out) \
            or cnp.PyArray_TYPE(<cnp.ndarray>out) != s.dtype:
        return False
    for i in range(s.rank):
        if step and s.timed and i == 1:
            continue
        if s.kind[i] == AXIS_SLOW or j >= cnp.PyArray_NDIM(<cnp.ndarray>out) or cnp.PyArray_DIMS(
                <cnp.ndarray>out)[j] != (s.value[i] if s.kind[i] == AXIS_CONST else symbols[s.value[i]]):
            return False
        j += 1
    if j != cnp.PyArray_NDIM(<cnp.ndarray>out):
        return False
    buf.data = cnp.PyArray_DATA(<cnp.ndarray>out)
    buf.dtype = rt_dtype(s.dtype)
    buf.device = 1
    return True


cdef bint _overlap(object x, object y) noexcept:
    """Whether two dense arrays share bytes."""
    cdef char *a = <char *>cnp.PyArray_DATA(<cnp.ndarray>x)
    cdef char *b = <char *>cnp.PyArray_DATA(<cnp.ndarray>y)
    return a < b + cnp.PyArray_NBYTES(<cnp.ndarray>y) and b < a + cnp.PyArray_NBYTES(<cnp.ndarray>x)
