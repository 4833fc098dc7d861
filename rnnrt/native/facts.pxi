# What the core says about itself and the machine.


def op_kinds():
    """Op name -> number, as the core counts them."""
    cdef int i = 0
    out = {}
    while rnnrt_op_name(i) != NULL:
        out[rnnrt_op_name(i).decode()] = i
        i += 1
    return out


def activation_names():
    """Names of the activation functions in the core's order."""
    cdef int i = 0
    out = []
    while rnnrt_activation_name(i) != NULL:
        out.append(rnnrt_activation_name(i).decode())
        i += 1
    return out


def kernel_tables():
    """The kernel tables that this machine can run, best first: dicts of name, vector_floats, bitwise_group."""
    cdef int i = 0
    out = []
    while rnnrt_kernel_name(i) != NULL:
        name = rnnrt_kernel_name(i)
        out.append({
            "name": name.decode(),
            "vector_floats": rnnrt_kernel_vector_floats(name),
            "bitwise_group": rnnrt_kernel_bitwise_group(name),
        })
        i += 1
    return out


def default_kernels():
    """The table that a load without a wish gets."""
    return rnnrt_kernel_default().decode()


def force_kernels(name):
    """Make a table the default (None: undo); BackendError where this machine cannot run it."""
    cdef bytes text
    if name is None:
        rnnrt_kernel_force(NULL)
        return
    text = name.encode()
    if not rnnrt_kernel_force(text):
        known = ", ".join(t["name"] for t in kernel_tables())
        raise BackendError(f"kernel table {name!r} cannot run here; known: {known}")


def cpu_features():
    """CPU features as far as the kernels care."""
    return rnnrt_cpu_features().decode().split()


def ceilings(kernels, sizes):
    """(flops a second, those of int8 weights or 0, [bytes a second read of a buffer of each size]) of one core, now.

    sizes: bytes, multiples of 256. Takes some 20 ms each. BackendError where the table cannot run here.
    """
    cdef double flops = 0, int8 = 0
    cdef int64_t bytes_[MAX_IO]
    cdef double read[MAX_IO]
    cdef int i, n = len(sizes)
    cdef bytes name = kernels.encode()
    cdef const char *text = name
    cdef int32_t rc
    if n > MAX_IO:
        raise RnnrtError(f"at most {MAX_IO} sizes")
    for i in range(n):
        bytes_[i] = sizes[i]
    with nogil:
        rc = rnnrt_ceilings(text, &flops, &int8, n, bytes_, read)
    if rc:
        raise BackendError(f"no ceilings of {kernels!r} for these sizes here (status {rc})")
    return flops, int8, [read[i] for i in range(n)]


def crc32(data, uint32_t value=0):
    """``zlib.crc32``, as fast as the bytes are read where the CPU can; data: any contiguous buffer."""
    cdef const unsigned char[::1] view = data
    cdef int done = 1
    if view.shape[0]:
        with nogil:
            done = rnnrt_crc32(&view[0], <size_t>view.shape[0], &value)
    if done:
        return value
    import zlib

    return zlib.crc32(data, value)


def allocations():
    """Number of allocations that the core has made."""
    return rnnrt_allocations()


def share_always(bint on):
    """For tests: models with threads share out all that they can, however little it is."""
    rnnrt_team_always(on)


def shared_parts():
    """(parts of jobs that other threads could have run, those of them that they did run), in this process."""
    cdef int64_t asked, missed
    rnnrt_team_counts(&asked, &missed)
    return asked, asked - missed


def blas_installed():
    """Whether BLAS pointers were handed over."""
    return bool(rnnrt_blas_installed())


def install_blas(sgemm, sgemv):
    """Hand over scipy's BLAS (capsules of scipy.linalg.cython_blas.__pyx_capi__)."""
    rnnrt_blas_install(
        PyCapsule_GetPointer(sgemm, PyCapsule_GetName(sgemm)), PyCapsule_GetPointer(sgemv, PyCapsule_GetName(sgemv))
    )


cdef str _device_error(str what, rnnrt_error *err):
    """A device's complaint: its text, or its code where it has none."""
    text = err.msg.decode(errors="replace")
    return f"{what}: {text or f'error {err.code}, device code {err.device_code}'}"


cdef class Backend:
    """A backend's table: the CPU's, or that of a plugin."""

    cdef const rnnrt_backend *api

    @staticmethod
    def cpu():
        """The CPU executor."""
        cdef Backend b = Backend.__new__(Backend)
        b.api = rnnrt_cpu_backend()
        return b

    @staticmethod
    def open(path):
        """A plugin at a path; BackendError with the reason where it cannot be used."""
        cdef Backend b = Backend.__new__(Backend)
        cdef rnnrt_error err
        memset(&err, 0, sizeof(err))
        if rnnrt_backend_open(str(path).encode(), &b.api, &err):
            raise BackendError(f"{path}: {err.msg.decode(errors='replace')}")
        return b

    @property
    def name(self):
        """The backend's own name."""
        return self.api.name.decode()

    @property
    def build_info(self):
        """How it was built."""
        return self.api.build_info.decode()

    def count(self):
        """Number of its devices; BackendError with the reason where it can reach none."""
        cdef rnnrt_error err
        cdef int32_t n
        memset(&err, 0, sizeof(err))
        with nogil:  # a driver may take a second to start
            n = self.api.device_count(&err)
        if err.code:
            raise BackendError(_device_error(self.name, &err))
        return n

    def device(self, int32_t index):
        """Facts of a device: name, memory and free memory in bytes, place, capability, driver, runtime (0: not known)."""
        cdef rnnrt_error err
        cdef rnnrt_device_info info
        memset(&err, 0, sizeof(err))
        memset(&info, 0, sizeof(info))
        info.struct_size = sizeof(info)
        if self.api.device_info(index, &info, &err):
            raise BackendError(_device_error(f"{self.name}:{index}", &err))
        return {
            "name": info.name[:].decode(errors="replace"),
            "memory": info.memory_bytes,
            "free": info.free_bytes,
            "place": info.place or RNNRT_ON_CPU,
            "capability": info.capability,
            "driver": info.driver,
            "runtime": info.runtime,
        }

    def devices(self):
        """Names of its devices; BackendError with the reason where it can reach none."""
        return [self.device(i)["name"] for i in range(self.count())]
