# A batch's arrays, stream by stream.

cdef struct Part:
    char *data          # of the first stream of a batch
    int64_t stream      # bytes of one stream
    int32_t dtype


cdef int _as_part(Part *p, object a, int64_t n) except -1:
    """A dense array of n streams."""
    p.data = <char *>cnp.PyArray_DATA(<cnp.ndarray?>a)
    p.stream = cnp.PyArray_NBYTES(<cnp.ndarray>a) // n
    p.dtype = rt_dtype(cnp.PyArray_TYPE(<cnp.ndarray>a))
    return 0


cdef inline object _row_of(object y, char *data, int nd, cnp.npy_intp *dims, int np_type):
    """One stream's part of a batch's output: a view that keeps the batch alive."""
    cdef object v = cnp.PyArray_SimpleNewFromData(nd, dims, np_type, data)
    cnp.set_array_base(v, y)
    return v
