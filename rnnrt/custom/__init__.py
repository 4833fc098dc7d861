"""Cells and layers of one's own: :func:`register_cell`, :func:`register_layer`.

A converter cannot know their arithmetic, and code from a file is never run. So a class is registered under the name
that the file gives, and states what Keras's class states:

    class NestedCell:                                    # rnnrt.register_cell("NestedCell", NestedCell)
        def __init__(self, unit_1, unit_2, unit_3):      # the cell's config, as get_config() wrote it
            self.state_size = [(unit_1,), (unit_2, unit_3)]
            self.output_size = [(unit_1,), (unit_2, unit_3)]

        def weights(self, input_shape):                  # name -> shape, in the order of Keras's build()
            ...
        def step(self, inputs, states, weights):         # NumPy arrays, batch first
            return output, new_states

``state_size`` and ``output_size``: a number (a vector), a tuple of numbers (a shape), or a list or dict of these, as
nested as one likes; output_size is the first state's where it is absent. ``input_shape`` and ``inputs`` have the
structure that the RNN layer is called with, shapes as ``(None, features)``; states always come as a list, or a dict.

    class Scale:                                         # rnnrt.register_layer("Scale", Scale)
        per_step = True                                  # each time step by itself: sessions may stream through it
        supports_masking = True                          # the mask goes on behind it
        def weights(self, input_shape): ...
        def output_shape(self, input_shape): ...         # where it is not the (first) input's; None: as there
        def call(self, inputs, weights): ...

Both are made as ``cls.from_config(config)`` where the class has it, else ``cls(**config)``, with the config of the file
without Keras's own ``name``, ``trainable`` and ``dtype``.
"""

from __future__ import annotations

from .registry import find, given, register_cell, register_layer

__all__ = ["find", "given", "register_cell", "register_layer"]
