# Limits, dtypes, and what a plan is made of, as C sees it.

cdef enum:
    MAX_IO = 16
    MAX_RANK = 8
    MAX_SYMBOLS = 16
    NOGIL_NS = 5000     # releasing the GIL costs about 57 ns: not worth it for calls estimated to be shorter
    KEPT_BYTES = 16384  # results of a step up to here are kept to be given again
    AXIS_CONST = 0      # an axis's length is a constant,
    AXIS_SYMBOL = 1     # a symbol of the program,
    AXIS_SLOW = 2       # or an expression that Python evaluates


cdef inline int rt_dtype(int np_type) noexcept nogil:
    """rnnrt_dtype of a NumPy type number, -1 for others."""
    if np_type == cnp.NPY_FLOAT32:
        return 0
    if np_type == cnp.NPY_FLOAT64:
        return 1
    if np_type == cnp.NPY_FLOAT16:
        return 2
    if np_type == cnp.NPY_INT32:
        return 5
    if np_type == cnp.NPY_INT64 or np_type == cnp.NPY_LONGLONG:
        return 6
    if np_type == cnp.NPY_BOOL:
        return 7
    return -1


cdef int np_dtype(int dtype) noexcept:
    """NumPy's type number of a dtype of inputs and outputs, -1 for those that NumPy does not have."""
    if dtype == 0:
        return cnp.NPY_FLOAT32
    if dtype == 1:
        return cnp.NPY_FLOAT64
    if dtype == 2:
        return cnp.NPY_FLOAT16
    if dtype == 5:
        return cnp.NPY_INT32
    if dtype == 6:
        return cnp.NPY_INT64
    if dtype == 7:
        return cnp.NPY_BOOL
    return -1


cdef bint _holds(cnp.ndarray a, const rnnrt_plan_weight *w):
    """Whether an array is as its table says: the core reads it without looking again."""
    cdef int i, t = 4 if cnp.PyArray_TYPE(a) == cnp.NPY_INT8 else rt_dtype(cnp.PyArray_TYPE(a))
    if w.dtype != t or w.rank != cnp.PyArray_NDIM(a) or w.rank > 4 or not cnp.PyArray_ISCARRAY_RO(a):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if w.dims[i] != cnp.PyArray_DIMS(a)[i]:
            return False
    return True


cdef dict _COLUMNS = WIDTHS


cdef void* _table(object tables, str name, list keep, int64_t* count) except? NULL:
    """A plan table as C sees it; the array is kept alive by the caller."""
    cdef cnp.ndarray a = cnp.PyArray_GETCONTIGUOUS(getattr(tables, name))
    cdef int columns = _COLUMNS[name]
    if cnp.PyArray_TYPE(a) != cnp.NPY_INT64 or cnp.PyArray_NDIM(a) != (2 if columns else 1) \
            or (columns and a.shape[1] != columns):
        raise FormatError(f"the plan's table {name} has another form")
    keep.append(a)
    count[0] = a.shape[0]
    return cnp.PyArray_DATA(a)
