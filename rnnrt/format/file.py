"""ModelFile: all that a file holds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import FormatError
from ..records import Record
from .plan_codec import PLAN_PREFIX, same_tables
from .refusals import refusal
from .strict_json import loads

if TYPE_CHECKING:
    import numpy as np

    from ..ir.graph import Graph
    from ..tables import Tables
    from .header import Entry
    from .proof import Proof

__all__ = ["PROOF_PREFIX", "ModelFile", "UnreadFile", "features_of", "weights_among"]

PROOF_PREFIX = "rnnrt.proof/"
T = TypeVar("T")


def features_of(metadata: Mapping[str, str]) -> list[str]:
    """What the file says that a runtime must have; FormatError F21."""
    requires = loads(metadata.get("rnnrt.requires", "[]"), "rnnrt.requires")
    if not isinstance(requires, list) or not all(isinstance(f, str) for f in requires):
        raise refusal("F21", "rnnrt.requires", "expected a list of names")
    return requires


def weights_among(tensors: Mapping[str, T]) -> dict[str, T]:
    """Those tensors of a file that are weights, or scales of some."""
    return {n: a for n, a in tensors.items() if not n.startswith((PROOF_PREFIX, PLAN_PREFIX))}


class ModelFile(Record):
    """All that a file holds.

    weights: name -> read-only array (views of one private buffer; bfloat16 as uint16 bits), the scales of int8 ones
    among them.
    metadata: the strings of ``__metadata__`` as they stand. nbytes: size of the file.
    checked: whether the file carries checksums (they were right).
    tables: the plan that the file keeps for this version, without the weights; None where it has to be made.
    """

    path: str
    graph: Graph
    weights: Mapping[str, np.ndarray]
    proof: Proof | None
    metadata: Mapping[str, str]
    nbytes: int
    checked: bool
    tables: Tables | None = None

    @property
    def weights_nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(w.nbytes for w in self.weights.values())

    @property
    def source_sha256(self) -> str:
        """SHA-256 (hex) of the Keras file, or an empty string."""
        return self.metadata.get("rnnrt.source_sha256", "")

    @property
    def producer(self) -> str:
        """Who wrote the file, or an empty string."""
        return self.metadata.get("rnnrt.producer", "")

    @cached_property
    def fingerprint(self) -> str:
        """See :func:`rnnrt.format.codec.fingerprint`; computed when first asked for."""
        from . import codec

        return codec.fingerprint(self.graph, self.weights)

    def check_tables(self, plan: Tables) -> None:
        """FormatError where the file keeps other tables than these, which were made from its graph."""
        if self.tables is not None and not same_tables(self.tables, plan):
            raise FormatError(
                f"{self.path}: rnnrt.plan: not the plan of the graph in this file: convert the model again [F30]"
            )


class UnreadFile(ModelFile):
    """A file that keeps its plan: graph and proof are read, and checked, when they are first asked for."""

    def __init__(
        self,
        path: str,
        entries: list[Entry],
        arrays: dict[str, np.ndarray],
        metadata: dict[str, str],
        nbytes: int,
        checked: bool,
        tables: Tables,
    ) -> None:
        self.__dict__.update(
            path=path,
            weights=MappingProxyType(weights_among(arrays)),
            metadata=MappingProxyType(metadata),
            nbytes=nbytes,
            checked=checked,
            tables=tables,
            _unread=(entries, arrays),
        )

    def __getattr__(self, name: str) -> Any:
        if name not in ("graph", "proof"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        from .contents import contents

        try:
            graph, _, proof = contents(self.metadata, *self.__dict__["_unread"])
        except FormatError as e:
            raise FormatError(f"{self.path}: {e}") from None
        self.__dict__.update(graph=graph, proof=proof)
        return self.__dict__[name]
