# Memory on a device: what other libraries lend us, and what they get from us, without copies.

from cpython.pycapsule cimport PyCapsule_IsValid, PyCapsule_New, PyCapsule_SetName
from libc.stdint cimport intptr_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "Python.h":
    int Py_IsInitialized() nogil
    void Py_INCREF(object o)
    void Py_DECREF(object o)

# dlpack.h, versions 0.8 and 1.0
cdef struct DLDevice:
    int32_t device_type
    int32_t device_id

cdef struct DLDataType:
    uint8_t code
    uint8_t bits
    uint16_t lanes

cdef struct DLTensor:
    void *data
    DLDevice device
    int32_t ndim
    DLDataType dtype
    int64_t *shape
    int64_t *strides      # in elements; NULL: dense
    uint64_t byte_offset

cdef struct DLManaged:
    DLTensor tensor
    void *context
    void (*deleter)(DLManaged *) noexcept nogil

cdef struct DLManagedVersioned:
    uint32_t major
    uint32_t minor
    void *context
    void (*deleter)(DLManagedVersioned *) noexcept nogil
    uint64_t flags        # 1: read-only
    DLTensor tensor

BY_CODE = {  # (code, bits) -> dtype; the codes of DLPack
    (2, 32): "float32", (2, 64): "float64", (2, 16): "float16", (4, 16): "bfloat16",
    (0, 8): "int8", (0, 32): "int32", (0, 64): "int64", (6, 8): "bool",
}
CODES = {name: code for code, name in BY_CODE.items()}
NUMBERS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3, "int8": 4, "int32": 5, "int64": 6, "bool": 7}


cdef class Lent:
    """Another library's array on a device, held as long as this object lives.

    ``place``, ``device``: DLPack's numbers (device -1: not told). ``dtype``: a name, or a text for one that rnnrt does
    not know. ``dense``: row-major without gaps.
    """

    cdef DLManaged *managed
    cdef DLManagedVersioned *versioned
    cdef object owner
    cdef void *data
    cdef readonly int place
    cdef readonly int device
    cdef readonly str dtype
    cdef readonly tuple shape
    cdef readonly bint dense
    cdef readonly bint writeable

    def __dealloc__(self):
        if self.managed != NULL and self.managed.deleter != NULL:
            self.managed.deleter(self.managed)
        if self.versioned != NULL and self.versioned.deleter != NULL:
            self.versioned.deleter(self.versioned)

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def span(self):
        """First address and the one after the last."""
        cdef size_t begin = <size_t>self.data
        return begin, begin + self.size * (CODES[self.dtype][1] + 7) // 8

    def shaped(self, shape):
        """Itself, seen in another shape of the same elements."""
        self.shape = tuple(shape)
        return self

    cdef int _take(self, DLTensor *t) except -1:
        cdef int i
        cdef int64_t expected = 1
        self.data = <char *>t.data + t.byte_offset
        self.place, self.device = t.device.device_type, t.device.device_id
        code = (t.dtype.code, t.dtype.bits)
        known = t.dtype.lanes == 1 and code in BY_CODE
        self.dtype = BY_CODE[code] if known else f"DLPack type {code[0]} of {code[1]} bits, {t.dtype.lanes} lanes"
        self.shape = tuple([t.shape[i] for i in range(t.ndim)])
        self.dense = True
        if t.strides != NULL:
            for i in range(t.ndim - 1, -1, -1):
                if t.shape[i] != 1:
                    self.dense = self.dense and t.strides[i] == expected
                    expected *= t.shape[i]
        return 0

    cdef int _take_capsule(self, object capsule) except -1:
        if PyCapsule_IsValid(capsule, "dltensor_versioned"):
            self.versioned = <DLManagedVersioned *>PyCapsule_GetPointer(capsule, "dltensor_versioned")
            PyCapsule_SetName(capsule, "used_dltensor_versioned")
            if self.versioned.major != 1:
                raise BufferError(f"DLPack {self.versioned.major}.{self.versioned.minor} is not known")
            self.writeable = not self.versioned.flags & 1
            return self._take(&self.versioned.tensor)
        if not PyCapsule_IsValid(capsule, "dltensor"):
            raise BufferError("__dlpack__ gave no capsule of a tensor that nobody has taken yet")
        self.managed = <DLManaged *>PyCapsule_GetPointer(capsule, "dltensor")
        PyCapsule_SetName(capsule, "used_dltensor")
        self.writeable = True
        return self._take(&self.managed.tensor)

    cdef int _take_interface(self, dict facts) except -1:
        """__cuda_array_interface__, versions 2 and 3."""
        address, readonly = facts["data"]
        self.data = <void *><size_t>address
        self.writeable = not readonly
        self.place, self.device = RNNRT_ON_CUDA, -1
        t = cnp.dtype(facts["typestr"])
        self.dtype = str(t) if t.isnative and str(t) in CODES else f"type {facts['typestr']!r}"
        self.shape = tuple([int(d) for d in facts["shape"]])
        self.dense = True
        if facts.get("strides") is not None:
            expected = t.itemsize
            for d, s in zip(reversed(self.shape), reversed(facts["strides"])):
                if d != 1:
                    self.dense = self.dense and s == expected
                    expected *= d
        if facts.get("mask") is not None:
            raise BufferError("a masked array")
        return 0


def lend(x, stream):
    """The array of another library, usable on that stream (DLPack's number, None: no matter)."""
    cdef Lent lent = Lent.__new__(Lent)
    lent.owner = x
    if hasattr(x, "__dlpack__"):
        try:
            capsule = x.__dlpack__(stream=stream, max_version=(1, 0))
        except TypeError:  # from before DLPack 1.0
            capsule = x.__dlpack__(stream=stream)
        lent._take_capsule(capsule)
    else:
        lent._take_interface(x.__cuda_array_interface__)
    return lent


cdef void _release(void *context) noexcept with gil:
    Py_DECREF(<object>context)


cdef void _drop(DLManaged *m) noexcept nogil:
    # a consumer may let go after the interpreter has: its memory goes with the process then
    if m != NULL:
        if Py_IsInitialized():
            _release(m.context)
        free(m)


cdef void _drop_versioned(DLManagedVersioned *m) noexcept nogil:
    if m != NULL:
        if Py_IsInitialized():
            _release(m.context)
        free(m)


cdef void _forget(object capsule) noexcept:
    """A capsule that nobody has taken."""
    if PyCapsule_IsValid(capsule, "dltensor"):
        _drop(<DLManaged *>PyCapsule_GetPointer(capsule, "dltensor"))
    elif PyCapsule_IsValid(capsule, "dltensor_versioned"):
        _drop_versioned(<DLManagedVersioned *>PyCapsule_GetPointer(capsule, "dltensor_versioned"))


cdef class DeviceArray:
    """A result that stays on its device: for ``torch.from_dlpack``, ``cupy.from_dlpack``, ``cupy.asarray``, another
    model there, or :meth:`numpy`.

    ``stream`` is where it is made: whoever asks with a stream of his own waits for it there. The memory is freed when
    neither this object nor anyone who took it holds it: behind what is queued on that stream, or, where others may have
    used it elsewhere or the stream may be gone, when the device has done all that is queued.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes : as NumPy's.
    device : ``cuda:0``.
    stream : number of the stream (a cudaStream_t; 1: the legacy default one).
    stream_owner : the object that keeps the stream (of torch, of cupy, or as given), or None.
    """

    cdef const rnnrt_backend *api
    cdef void *data
    cdef int32_t index, place
    cdef readonly tuple shape
    cdef readonly object dtype
    cdef readonly str device
    cdef readonly size_t stream
    cdef readonly object stream_owner # keeps the stream, where that is known
    cdef bint elsewhere               # somebody may use it on another stream
    cdef object held                  # arrays that the work on the stream still reads

    def __dealloc__(self):
        cdef bint ordered = not self.elsewhere and (self.stream_owner is not None or self.stream == 1)
        if self.data != NULL:
            with nogil:
                if ordered and self.api.stream_free != NULL:
                    self.api.stream_free(self.index, self.data, <void *>self.stream)
                else:
                    self.api.device_free(self.index, self.data)

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """Number of elements."""
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def nbytes(self):
        """Bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"<rnnrt.DeviceArray {self.shape} {self.dtype} on {self.device}>"

    def numpy(self):
        """A copy on the host."""
        cdef rnnrt_error err
        cdef cnp.npy_intp dims[MAX_RANK]
        cdef int64_t nbytes = self.nbytes
        cdef void *target
        cdef int32_t rc
        cdef int i
        for i in range(len(self.shape)):
            dims[i] = self.shape[i]
        a = cnp.PyArray_EMPTY(len(self.shape), dims, (<cnp.dtype>self.dtype).num, 0)
        target = cnp.PyArray_DATA(<cnp.ndarray>a)
        memset(&err, 0, sizeof(err))
        with nogil:
            rc = self.api.copy(self.index, target, RNNRT_ON_CPU, self.data, self.place, nbytes, <void *>self.stream, &err)
        if rc:
            raise BackendError(_device_error(self.device, &err))
        return a

    def __array__(self, dtype=None, copy=None):
        raise TypeError(f"this array lies on {self.device}: its numpy() makes a copy on the host")

    cdef int _ready(self, size_t stream) except -1:
        """What is queued on that stream from now on comes after this array is made."""
        cdef rnnrt_error err
        cdef int32_t rc
        if not self.stream or self.stream == stream:
            return 0
        memset(&err, 0, sizeof(err))
        with nogil:
            if self.api.stream_wait != NULL:
                rc = self.api.stream_wait(self.index, <void *>stream, <void *>self.stream, &err)
            else:
                rc = self.api.sync(self.index, <void *>self.stream, &err)
        if rc:
            raise BackendError(_device_error(self.device, &err))
        return 0

    def __dlpack_device__(self):
        return self.place, self.index

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """A capsule for another library. stream: its own (None, 1: the legacy default; -1: it takes care itself)."""
        cdef DLTensor *t
        cdef DLManaged *m
        cdef DLManagedVersioned *v
        cdef size_t head
        cdef char *block
        cdef int64_t dense
        cdef int i
        cdef int n = len(self.shape)
        if dl_device is not None and tuple(dl_device) != (self.place, self.index):
            if tuple(dl_device) == (RNNRT_ON_CPU, 0) and copy is not False:
                return self.numpy().__dlpack__()
            raise BufferError(f"this array lies on {self.device} and is not moved to DLPack's device {dl_device}")
        if copy:
            raise BufferError("this array is not copied on its device")
        if stream == 0:
            raise ValueError("stream=0 may mean two streams; the legacy default one is 1, the thread's 2")
        if stream is None:
            stream = 1
        if stream != self.stream:
            self.elsewhere = True
        if stream != -1:
            self._ready(<size_t>stream)
        whole = max_version is not None and max_version[0] >= 1
        head = sizeof(DLManagedVersioned) if whole else sizeof(DLManaged)
        block = <char *>malloc(head + 2 * n * sizeof(int64_t) + 8)
        if block == NULL:
            raise MemoryError()
        memset(block, 0, head)
        if whole:
            v = <DLManagedVersioned *>block
            v.major, v.minor, v.context, v.deleter = 1, 0, <void *>self, _drop_versioned
            t = &v.tensor
        else:
            m = <DLManaged *>block
            m.context, m.deleter = <void *>self, _drop
            t = &m.tensor
        t.data = self.data
        t.device.device_type, t.device.device_id = self.place, self.index
        t.ndim = n
        code, bits = CODES[str(self.dtype)]
        t.dtype.code, t.dtype.bits, t.dtype.lanes = code, bits, 1
        t.shape = <int64_t *>(block + head)
        t.strides = t.shape + n
        dense = 1
        for i in range(n - 1, -1, -1):
            t.shape[i] = self.shape[i]
            t.strides[i] = dense
            dense *= self.shape[i]
        Py_INCREF(self)  # the capsule's, and then its taker's
        try:
            return PyCapsule_New(block, "dltensor_versioned" if whole else "dltensor", _forget)
        except:
            Py_DECREF(self)
            free(block)
            raise

    @property
    def __cuda_array_interface__(self):
        """Version 3: its stream is told, and whoever takes the array waits for it there."""
        if self.place != RNNRT_ON_CUDA:
            raise AttributeError("__cuda_array_interface__: not memory of CUDA")
        self.elsewhere = True
        return {
            "shape": self.shape, "typestr": self.dtype.str, "data": (<size_t>self.data, False), "version": 3,
            "strides": None, "stream": self.stream or None,
        }


cdef object _new_array(const rnnrt_backend *api, int32_t index, int32_t place, tuple shape, str dtype, str device,
                       size_t stream, stream_owner):
    """A result on a device, its content undefined. stream_owner: the stream lives as long as this object."""
    cdef DeviceArray y = DeviceArray.__new__(DeviceArray)
    cdef rnnrt_error err
    cdef int32_t rc
    cdef int64_t nbytes
    if api.device_alloc == NULL or api.device_free == NULL or api.copy == NULL or api.sync == NULL:
        raise BackendError(f"{device}: this plugin keeps no results there; a newer rnnrt-cuda does")
    y.api, y.index, y.place, y.shape, y.device, y.stream = api, index, place, shape, device, stream
    y.dtype, y.stream_owner = cnp.dtype(dtype), stream_owner
    nbytes = y.nbytes
    memset(&err, 0, sizeof(err))
    with nogil:
        if stream and api.stream_alloc != NULL:
            rc = api.stream_alloc(index, nbytes, <void *>stream, &y.data, &err)
        else:
            rc = api.device_alloc(index, nbytes, &y.data, &err)
    if rc:
        y.data = NULL
        if err.code == RNNRT_ENOMEM:
            raise MemoryError(f"{device} has no {nbytes} bytes left for a result")
        raise BackendError(_device_error(device, &err))
    return y


def hold(DeviceArray y, held):
    """Keep objects as long as a result: the work that makes it still reads them."""
    y.held = held


cdef int _as_buffer(object a, rnnrt_buffer *b) except -1:
    """An array as C sees it: of NumPy, lent, or a result."""
    if isinstance(a, Lent):
        b.data, b.dtype, b.device = (<Lent>a).data, NUMBERS[(<Lent>a).dtype], RNNRT_ON_CUDA
    elif isinstance(a, DeviceArray):
        b.data, b.dtype, b.device = (<DeviceArray>a).data, NUMBERS[str((<DeviceArray>a).dtype)], (<DeviceArray>a).place
    else:
        b.data = cnp.PyArray_DATA(<cnp.ndarray?>a)
        b.dtype, b.device = rt_dtype(cnp.PyArray_TYPE(<cnp.ndarray>a)), RNNRT_ON_CPU
    return 0
