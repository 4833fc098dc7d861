"""SimpleRNN."""

from .recurrent import activations, cells, drift, options, sizes

CASES = [
    *sizes("simple_rnn", "SimpleRNN"),
    *options("simple_rnn", "SimpleRNN", states=1),
    *activations("simple_rnn", "SimpleRNN", ("activation",)),
    *cells("simple_rnn", "SimpleRNNCell"),
    *drift("simple_rnn", "SimpleRNN"),
]
