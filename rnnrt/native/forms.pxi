# The forms in which callers pass several inputs: a list or a dict of arrays.

cdef class Form:
    """Which leaf of a flat list or dict is which input; what does not fit is left to the general path.

    wanted: numbers of the inputs that a call takes, in the order of its list; keys: theirs in a dict.
    """

    cdef int n_in, n
    cdef int wanted[MAX_IO]
    cdef list keys
    cdef bint listed, keyed

    def __init__(self, int n_in, wanted, keys, bint listed, bint keyed):
        cdef int i
        self.n_in, self.n, self.keys = n_in, len(wanted), list(keys)
        self.listed, self.keyed = listed, keyed
        for i in range(self.n):
            self.wanted[i] = wanted[i]

    cdef list leaves(self, object x):
        """The inputs by number, None for those that are not wanted; None where x has another form.

        A list of our own: another thread may change the caller's during the call.
        """
        cdef list flat
        cdef PyObject *leaf
        cdef int i
        if type(x) is dict:
            if not self.keyed or len(<dict>x) != self.n:
                return None
            flat = [None] * self.n_in
            for i in range(self.n):
                leaf = _lookup(x, self.keys[i])
                if leaf == NULL:
                    return None
                flat[self.wanted[i]] = <object>leaf
            return flat
        if not self.listed or (type(x) is not list and type(x) is not tuple) or len(x) != self.n:
            return None
        flat = [None] * self.n_in
        for i in range(self.n):
            flat[self.wanted[i]] = x[i]
        return flat


cdef bint _numbers_each(object structure, int n):
    """Whether the leaves of a nest of lists and dicts are the numbers below n, each once."""
    cdef list todo = [structure], found = []
    while todo:
        s = todo.pop()
        if type(s) is int:
            found.append(s)
        elif type(s) is list or type(s) is dict:
            todo.extend(s if type(s) is list else s.values())
        else:
            return False
    return sorted(found) == list(range(n))


cdef Form _form(object structure, list names, list wanted):
    """The form of calls that take the inputs wanted; structure: of all inputs, as the graph has it."""
    cdef bint whole = len(wanted) == len(names)
    if isinstance(structure, dict):
        keys = {v: k for k, v in structure.items() if isinstance(v, int)}
        known = all(i in keys for i in wanted)
        return Form(len(names), wanted, [keys.get(i) for i in wanted], not whole, known)
    if whole and isinstance(structure, list):
        flat = all(isinstance(v, int) for v in structure)
        order = structure if flat else wanted
        return Form(len(names), order, [names[i] for i in order], flat, True)
    return Form(len(names), wanted, [names[i] for i in wanted], len(wanted) > 1, True)
