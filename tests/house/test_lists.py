"""The lists that C and Python both have say the same."""

import house_rules as house

from rnnrt.ir.activations import ACTIVATIONS
from rnnrt.ir.ops import OPS
from rnnrt.ir.ops.table import FAMILIES
from rnnrt.planner.encoders import ENCODERS

# copy is made by the planner only; the others are views that no op has to run
ONLY_IN_PROGRAMS = {"copy"}
ONLY_IN_GRAPHS = {"expand_dims", "flatten", "fold_time", "reshape", "squeeze", "unfold_time"}


def test_activations():
    entries = house.def_entries(house.ROOT / "src_c/include/activations.def", "RNNRT_ACTIVATION")
    assert [name for _, name in entries] == list(ACTIVATIONS)
    assert [id for id, _ in entries] == [name.upper() for name in ACTIVATIONS]


def test_ops():
    entries = house.def_entries(house.ROOT / "src_c/ops/ops.def", "RNNRT_OP")
    names = [name for _, name in entries]
    assert len(set(names)) == len(names)
    assert [id for id, _ in entries] == [name.upper() for name in names]
    assert set(names) - set(OPS) == ONLY_IN_PROGRAMS
    assert set(OPS) - set(names) == ONLY_IN_GRAPHS


def test_families_hold_what_their_modules_register():
    for family, ops in FAMILIES.items():
        assert [OPS[op].infer.__module__.rpartition(".")[2] for op in ops] == [family] * len(ops)
        encoders = [ENCODERS[op].__module__.rpartition(".")[2] for op in ops if op in ENCODERS]
        assert encoders == [family] * len(encoders)
    assert set(OPS) - set(ENCODERS) == ONLY_IN_GRAPHS


def test_the_reader_of_def_files_sees(tmp_path):
    path = tmp_path / "x.def"
    path.write_text('/* RNNRT_OP(ID, "name") */\nRNNRT_OP(LSTM, "lstm", cls)\n  RNNRT_OP(GRU,"gru")\nOTHER(A, "b")\n')
    assert house.def_entries(path, "RNNRT_OP") == [("LSTM", "lstm"), ("GRU", "gru")]
