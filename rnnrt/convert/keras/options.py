"""Which config keys may be passed over: what only training, naming or building reads.

Every other key that a layer does not handle, with a value that says something, refuses the layer: an
option that changes the numbers is never ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UnsupportedLayerError
from .policies import dtype_name, policy_of
from .spec import LayerSpec

if TYPE_CHECKING:
    from .call import LayerCall
    from .layers.registry import Entry

__all__ = ["check_options", "note_ignored"]

_HARMLESS = frozenset(
    "name trainable dtype batch_shape input_shape input_dtype input_dim input_length build_config autocast "
    "seed noise_shape rate stddev l1 l2 implementation unroll momentum synchronized lora_rank lora_alpha "
    "renorm_clipping renorm_momentum dropout recurrent_dropout unit_forget_bias virtual_batch_size "
    "sparse ragged optional fused shared_object_id zero_output_for_mask activity_regularizer".split()
)
_SUFFIXES = ("_initializer", "_regularizer", "_constraint")
_SAYS_NOTHING: tuple = (None, False, "", [], {}, ())


def check_options(call: LayerCall, entry: Entry) -> None:
    """Raise UnsupportedLayerError for a dtype, option or call that would change the numbers."""
    spec = call.spec
    if policy_of(spec) is None:
        raise call.refuse(
            f"its dtype policy is {dtype_name(spec.config.get('dtype'))!r}, which is not supported",
            "save the model with the float32 policy",
        )
    if call.kwargs.get("training") and (entry.random or call.get("dropout") or call.get("recurrent_dropout")):
        raise call.refuse(
            "it is called with training=True, so that its output is random", "call it without, and save again"
        )
    for key, value in spec.config.items():
        if key in entry.options or key in _HARMLESS or key.endswith(_SUFFIXES):
            continue
        if value in _SAYS_NOTHING and not (isinstance(value, int) and not isinstance(value, bool)):
            continue
        raise UnsupportedLayerError(
            f"{call.path} ({spec.class_name}): the option {key}={str(value)[:80]} is not supported", call.path
        )


def note_ignored(spec: LayerSpec, path: str, ignored: dict[str, list[str]]) -> None:
    """Record what is passed over by right: it has no part in prediction."""
    for key, value in spec.config.items():
        if value in (None, 0, 0.0):
            continue
        kind = ""
        if key.endswith("_constraint"):
            kind = "constraints"
        elif key.endswith("_regularizer"):
            kind = "regularizers"
        elif key in ("dropout", "recurrent_dropout"):
            kind = "dropout inside recurrent layers"
        if kind and path not in (have := ignored.setdefault(kind, [])):
            have.append(path)
