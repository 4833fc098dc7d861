# What a status of the core says to a user.


cdef object _fault(rnnrt_error *err, object tables, str backend, str device):
    """The exception that a status means, with the layer's path. device: where it is not the host's memory."""
    place = tables.places[err.op] if 0 <= err.op < len(tables.places) else ""
    at = f"{place}: " if place else ""
    text = err.msg.decode(errors="replace")
    if err.code == RNNRT_EID:
        return ShapeError(f"{_id_place(err, tables)}id {err.a} is outside the table of {at}{_id_range(err, tables)}")
    if err.code == RNNRT_EIDNAN:
        return ShapeError(f"{_id_place(err, tables)}an id is not a number (NaN), {at}{_id_range(err, tables)}")
    if err.code == RNNRT_ESHAPE:
        if err.a < 0:
            return ShapeError(f"{at}the input is too short: an output would have the length {err.a}")
        return ShapeError(f"{at}sizes do not fit: got {err.a}, expected {err.b}")
    if err.code == RNNRT_ENOMEM:
        return MemoryError(f"rnnrt needs {err.a} bytes of workspace" + (f" on {device}" if device else ""))
    if err.code == RNNRT_EBUSY:
        return StateError("this session is in use by another thread; give each thread a session of its own")
    if err.code == RNNRT_EUNSUPPORTED:
        remedy = "" if backend == "cpu" else "; such a model runs with device='cpu'"
        return BackendError(f"{at}not supported on {backend}" + (f": {text}" if text else "") + remedy)
    if err.code == RNNRT_EDEVICE or err.code == RNNRT_EABI:
        return BackendError(at + (text or f"device error {err.device_code}"))
    return FormatError(f"{at}the program is malformed ({err.a}, {err.b})")


cdef str _id_place(rnnrt_error *err, object tables):
    # ids come from an input, or are derived inside the model
    tensor = int(tables.refs[tables.ops[err.op][4]])
    names = [n for n, t in zip(tables.input_names, tables.inputs[:, 0]) if t == tensor]
    return f"input {names[0]!r}, flat position {err.b}: " if names else ""


cdef str _id_range(rnnrt_error *err, object tables):
    size = int(tables.refs[tables.ops[err.op][14]])
    return f"expected 0 <= id < {size}"
