# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic
"""The one extension: programs, sessions and facts about the C core.

Anything that happens once is Python; what happens on each call is a fast path here over PyArray macros (typed
memoryviews would cost ten times as much), and one call into C.
"""

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from rnnrt.native.core cimport *

from rnnrt.errors import BackendError, FormatError, RnnrtError, ShapeError, StateError
from rnnrt.tables import WIDTHS

cnp.import_array()

include "facts.pxi"
include "host.pxi"
include "faults.pxi"
include "tables.pxi"
include "dlpack.pxi"
include "specs.pxi"
include "forms.pxi"
include "program.pxi"
include "session.pxi"
include "parts.pxi"
include "pool.pxi"
