"""Known classes that do not convert, with the reason and what to do instead."""

from __future__ import annotations

from .registry import refuse

refuse(
    "its code is stored as bytecode, which is never run",
    "cut a training-only head (CTC) off with outputs=[...] before it, or use a layer instead",
    "Lambda",
)
refuse(
    "a convolution that is not supported",
    "cut the model with outputs=[...] before it",
    "Conv3DTranspose",
    "SeparableConv3D",
    "ConvLSTM3D",
)
refuse(
    "works on strings, which rnnrt does not take",
    "do this step before the model and cut it off with inputs=[...]",
    "StringLookup",
    "TextVectorization",
    "Hashing",
    "IntegerLookup",
)
refuse(
    "not supported yet",
    "cut the model with outputs=[...] before it",
    "GroupQueryAttention",
    "Discretization",
)
