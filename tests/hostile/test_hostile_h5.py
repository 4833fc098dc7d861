"""Keras files made to harm: every one must end as a ConversionError, soon, in little memory.

The rules are Keras's own (external and soft links, external storage, virtual datasets, shape bombs, zip bombs,
Lambdas) and those it lacks (JSON depth, loops, repeated names, damage that hangs the HDF5 library).
"""

import json
import random
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from keras_files import (  # noqa: E402
    arrays,
    functional,
    input_layer,
    layer,
    sequential,
    tree_bytes,
    write_group,
    write_h5,
    write_keras,
)

from rnnrt.convert import build, check  # noqa: E402
from rnnrt.convert.sources.heap_check import check_heaps  # noqa: E402
from rnnrt.errors import ConversionError, UnsupportedLayerError  # noqa: E402

(K,) = arrays((3, 2))
DENSE = sequential(input_layer("x", (None, 3)), layer("Dense", "d", units=2, use_bias=False))
TREE = {"layers/dense": [K]}


def dense_h5(path, put):
    """A good file of one Dense, but for its kernel, which ``put(group)`` makes."""
    with h5py.File(path, "w") as f:
        f.attrs["model_config"] = json.dumps(DENSE)
        f.attrs["keras_version"] = "2.15.0"
        group = f.create_group("model_weights")
        write_group(group, {"d": []})
        del group["d"].attrs["weight_names"]
        group["d"].attrs["weight_names"] = ["d/kernel:0"]
        group["d"].create_group("d")
        put(group["d/d"])
    return path


def refused(src, text, error=ConversionError, **options):
    started = time.process_time()
    with pytest.raises(error, match=text) as e:
        build(src, **options)
    assert time.process_time() - started < 60  # not 2^n of anything
    assert len(str(e.value)) < 2000
    return e.value


# ---- links and storage that lead out of the file ------------------------------------------------


def _secret(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as f:
        f["k"] = K
    return str(tmp_path / "secret.h5")


def test_the_good_file_is_good(tmp_path):
    src = dense_h5(tmp_path / "a.h5", lambda g: g.create_dataset("kernel:0", data=K))
    np.testing.assert_array_equal(build(src).weights["d.kernel"], K)


def test_external_link(tmp_path):
    secret = _secret(tmp_path)
    src = dense_h5(tmp_path / "a.h5", lambda g: g.__setitem__("kernel:0", h5py.ExternalLink(secret, "/k")))
    refused(src, "is a ExternalLink; only data inside the file")


def test_dangling_external_link(tmp_path):
    src = dense_h5(tmp_path / "a.h5", lambda g: g.__setitem__("kernel:0", h5py.ExternalLink("/dev/zero", "/k")))
    refused(src, "is a ExternalLink")


def test_soft_link(tmp_path):
    def put(g):
        g.file["k"] = K
        g["kernel:0"] = h5py.SoftLink("/k")

    refused(dense_h5(tmp_path / "a.h5", put), "is a SoftLink")


def test_link_in_the_place_of_a_group(tmp_path):
    secret = _secret(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.attrs["model_config"] = json.dumps(DENSE)
        f["model_weights"] = h5py.ExternalLink(secret, "/")
    refused(tmp_path / "a.h5", "'model_weights' is a ExternalLink")


def test_link_inside_a_tree(tmp_path):
    secret = _secret(tmp_path)
    with h5py.File(tmp_path / "w.weights.h5", "w") as f:
        f.create_group("layers/dense/vars")["0"] = h5py.ExternalLink(secret, "/k")
    refused(tmp_path / "w.weights.h5", "ExternalLink", architecture=DENSE)


def test_external_storage(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(24))
    files = [(str(tmp_path / "raw"), 0, 24)]
    src = dense_h5(tmp_path / "a.h5", lambda g: g.create_dataset("kernel:0", (3, 2), "f4", external=files))
    refused(src, "lies in another file")


def test_virtual_dataset(tmp_path):
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource(_secret(tmp_path), "k", (3, 2))
    src = dense_h5(tmp_path / "a.h5", lambda g: g.create_virtual_dataset("kernel:0", layout))
    refused(src, "is a virtual dataset")


def test_paths_that_climb(tmp_path):
    def put(g):
        g.create_dataset("kernel:0", data=K)
        for name in ("../d/kernel:0", "./d/kernel:0", "d//kernel:0", "/".join("d" * 200)):
            g.parent.attrs["weight_names"] = [name]

    refused(dense_h5(tmp_path / "a.h5", put), "path of 200 parts")
    for name in ("../d/kernel:0", "./d/kernel:0", "d//kernel:0", "/d/kernel:0"):
        dense_h5(tmp_path / "a.h5", lambda g, name=name: g.parent.attrs.__setitem__("weight_names", [name]))
        refused(tmp_path / "a.h5", "the path part")


# ---- sizes that are lies ------------------------------------------------------------------------


def test_shape_bomb(tmp_path):
    """8 TiB declared, nothing stored; the architecture agrees with the shape, so that only the ratio tells."""
    n = 1 << 20
    model = sequential(input_layer("x", (None, n)), layer("Dense", "d", units=2 * n, use_bias=False))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.attrs["model_config"] = json.dumps(model)
        write_group(f.create_group("model_weights"), {"d": []})
        del f["model_weights/d"].attrs["weight_names"]
        f["model_weights/d"].attrs["weight_names"] = ["kernel:0"]
        f["model_weights/d"].create_dataset("kernel:0", (n, 2 * n), "f4", chunks=(1024, 1024), compression="gzip")
    assert (tmp_path / "a.h5").stat().st_size < 1 << 20
    refused(tmp_path / "a.h5", "declares 8796093022208 bytes but stores 0")


def test_a_shape_that_the_architecture_denies_is_not_read(tmp_path):
    put = lambda g: g.create_dataset("kernel:0", (1 << 40, 2), "f4", chunks=(1024, 2))  # noqa: E731
    refused(dense_h5(tmp_path / "a.h5", put), r"d.kernel: expected \(3, 2\), got \(1099511627776, 2\)")


def test_attribute_bomb(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as f:
        f.attrs["model_config"] = json.dumps(DENSE)
        group = f.create_group("model_weights")
        group.attrs.create("layer_names", np.zeros(1 << 21, "S1"))
    refused(tmp_path / "a.h5", "'layer_names' declares 2097152 values")


def test_units_and_lengths_beyond_all_machines(tmp_path):
    for shape, units in (((None, 3), 2**70), ((None, 2**60), 2), ((None, 3), -2)):
        model = sequential(input_layer("x", shape), layer("Dense", "d", units=units, use_bias=False))
        refused(write_h5(tmp_path / "a.h5", model, {"d": [("k", K)]}), "units must be|axis 1 of its shape")


def test_products_that_overflow(tmp_path):
    model = sequential(
        input_layer("x", (None, 2**40, 2**40)), layer("Flatten", "f"), layer("Dense", "d", units=2**47, use_bias=False)
    )
    refused(write_h5(tmp_path / "a.h5", model, {"f": [], "d": [("d/k", K)]}), "d.kernel: expected")


def test_repeat_bomb_builds_no_array(tmp_path):
    """A graph may declare any length; conversion holds weights only."""
    model = sequential(input_layer("x", (None, 3)), layer("RepeatVector", "r", n=2**40))
    assert build(write_h5(tmp_path / "a.h5", model, {"r": []})).graph.nodes[0].attrs["n"] == 2**40


# ---- JSON ---------------------------------------------------------------------------------------


def config_file(path, text):
    with h5py.File(path, "w") as f:
        f.attrs["model_config"] = text
        write_group(f.create_group("model_weights"), {"d": [("kernel", K)]})
    return path


@pytest.mark.parametrize(
    "text, why",
    [
        ("[" * 60_000 + "]" * 60_000, "nested deeper than 256"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested deeper than 256"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1, 2]", "is not an object"),
        ("null", "is not an object"),
        ('{"class_name": "Sequential"}', "no 'class_name' and 'config'"),
        ('{"class_name": 3, "config": {}}', "no 'class_name' and 'config'"),
        ('{"class_name": "Sequential", "class_name": "Model", "config": {}}', "occurs twice"),
        ('{"class_name": "Sequential", "config": {"layers": [], "layers": []}}', "occurs twice"),
        ('{"class_name": "Sequential", "config": {"layers": []}}', "without layers"),
        ('{"class_name": "Sequential", "config": {"layers": [3]}}', "without a class name"),
        ('{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": 1}]}}', "not an object"),
        ('{"class_name": "Sequential", "config": {"layers": {"a": 1}}}', "in code|no layers|keeps"),
        ('{"class_name": "Model", "config": {"layers": [], "input_layers": 1, "output_layers": 2}}', "not a tensor"),
        ('{"class_name": "Model", "config": {"layers": []}}', "not a tensor"),
        ('{"class_name": "Sequential", "config": ' + "9" * 5000 + "}", "not JSON"),
        ('{"class_name": "Sequential", "config": {"name": "\\u0000", "layers": []}}', "is not valid"),
    ],
)
def test_configs_that_nobody_wrote(text, why, tmp_path):
    refused(config_file(tmp_path / "a.h5", text), why)


def test_not_a_number_as_a_number(tmp_path):
    text = json.dumps(DENSE).replace('"units": 2', '"units": NaN')
    refused(config_file(tmp_path / "a.h5", text), "units must be an integer")


def test_every_value_of_a_config_replaced(tmp_path):
    """Each leaf of a whole config in turn becomes each wrong kind of value: an error of ours, or a model."""
    kinds = [None, True, -1, 0, 1.5, float("nan"), 2**80, "", "tanh", [], [[]], {}, [None], {"class_name": "x"}]
    base = sequential(
        input_layer("x", (None, 5, 3), 3),
        layer(
            "GRU",
            "g",
            3,
            units=2,
            return_sequences=True,
            activation="tanh",
            recurrent_activation="sigmoid",
            reset_after=True,
            dropout=0.0,
        ),
        layer("BatchNormalization", "n", 3, axis=-1, epsilon=1e-3, center=True, scale=True),
        layer("TimeDistributed", "t", 3, layer=layer("Dense", "i", 3, units=2)),
        layer("Softmax", "s", 3, axis=-1),
    )
    shapes = {"layers/gru/cell": [(3, 6), (2, 6), (2, 6)], "layers/batch_normalization": [(2,)] * 4}
    tree = tree_bytes(
        {k: arrays(*v) for k, v in shapes.items()} | {"layers/time_distributed/layer": arrays((2, 2), (2,))}
    )
    (tmp_path / "w.weights.h5").write_bytes(tree)

    def places(value):
        if isinstance(value, dict):
            for k, v in value.items():
                yield value, k
                yield from places(v)
        elif isinstance(value, list):
            for k, v in enumerate(value):
                yield value, k
                yield from places(v)

    assert build(tmp_path / "w.weights.h5", architecture=base).weights
    built = tried = 0
    for parent, key in list(places(base)):
        for kind in kinds:
            kept, parent[key] = parent[key], kind
            try:
                build(tmp_path / "w.weights.h5", architecture=base)
                built += 1
            except ConversionError:
                pass
            finally:
                parent[key] = kept
            tried += 1
    assert tried > 800 and 0 < built < tried


# ---- graphs -------------------------------------------------------------------------------------


def test_a_graph_of_a_thousand_layers_needs_no_recursion(tmp_path):
    chain, before = [input_layer("x", (None, 3), functional=True)], "x"
    for k in range(3000):
        chain.append(layer("Activation", f"a{k}", inbound=[[[before, 0, 0, {}]]], activation="tanh"))
        before = f"a{k}"
    model = functional(chain[::-1], [["x", 0, 0]], [[before, 0, 0]])
    assert len(build(write_h5(tmp_path / "a.h5", model, {})).graph.nodes) == 3000


def test_models_that_double_at_each_level(tmp_path):
    """30 nested models that each call the one inside twice would be 2^30 layers."""
    inner = layer("Activation", "a", activation="tanh")
    for k in range(30):
        name, i = inner["config"]["name"], input_layer(f"i{k}", (None, 3), functional=True)
        first = 0 if k == 0 else 1
        inner = inner | {"name": name, "inbound_nodes": [[[f"i{k}", 0, 0, {}]], [[name, first, 0, {}]]]}
        inner = functional([i, inner], [[f"i{k}", 0, 0]], [[name, first + 1, 0]], name=f"m{k}")
    refused(write_h5(tmp_path / "a.h5", inner, {}), "more than 20000 calls|nested deeper")


def test_calls_shared_in_a_ladder_are_walked_once(tmp_path):
    """40 layers that each read the one before twice are 40 calls, not 2^40."""
    chain, before = [input_layer("x", (None, 3), functional=True)], "x"
    for k in range(40):
        chain.append(layer("Add", f"a{k}", inbound=[[[before, 0, 0, {}], [before, 0, 0, {}]]]))
        before = f"a{k}"
    model = functional(chain, [["x", 0, 0]], [[before, 0, 0]])
    check(write_h5(tmp_path / "a.h5", model, {}))


def test_hard_link_loop(tmp_path):
    with h5py.File(tmp_path / "w.weights.h5", "w") as f:
        layers = f.create_group("layers")
        layers["layers"] = layers
        f["layers/dense"] = f["layers"]
        f["layers/vars"] = f["layers"]
    refused(tmp_path / "w.weights.h5", "layers/dense: the array '0' is missing", architecture=DENSE)


def test_code_is_never_run(tmp_path):
    """A Lambda's bytecode, a class to import: refused by name, before anything is looked at."""
    flag = tmp_path / "ran"
    module = f"import pathlib; pathlib.Path({str(flag)!r}).touch()"
    (tmp_path / "evil_rnnrt_module.py").write_text(module)
    sys.path.insert(0, str(tmp_path))
    try:
        for entry in (
            layer("Lambda", "e", function=["4wEAAAAAAAAA", None, None], module="evil_rnnrt_module"),
            layer("evil_rnnrt_module>Thing", "e") | {"module": "evil_rnnrt_module"},
            layer(
                "Dense",
                "e",
                units=2,
                activation={"class_name": "function", "module": "evil_rnnrt_module", "config": "f"},
            ),
            layer("Dense", "e", units=2, activation={"class_name": "__lambda__", "config": {"value": "4wEA"}}),
        ):
            model = sequential(input_layer("x", (None, 3)), entry)
            refused(write_h5(tmp_path / "a.h5", model, {"e": []}), "^e", UnsupportedLayerError)
    finally:
        sys.path.remove(str(tmp_path))
    assert not flag.exists() and "evil_rnnrt_module" not in sys.modules


# ---- zip files ----------------------------------------------------------------------------------


def test_duplicate_members(tmp_path):
    write_keras(tmp_path / "a.keras", DENSE, TREE)
    with zipfile.ZipFile(tmp_path / "a.keras", "a") as z, pytest.warns(UserWarning, match="Duplicate"):
        z.writestr("config.json", json.dumps(DENSE))
    refused(tmp_path / "a.keras", "'config.json' occurs twice")


def test_zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("config.json", json.dumps(DENSE))
        z.writestr("metadata.json", "{}")
        with z.open("model.weights.h5", "w", force_zip64=True) as f:
            for _ in range(200):
                f.write(bytes(1 << 20))
    refused(tmp_path / "a.keras", "declares 209715200 bytes from")
    with zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as z:
        with z.open("config.json", "w") as f:
            for _ in range(100):
                f.write(b" " * (1 << 20))
        z.writestr("model.weights.h5", b"")
    refused(tmp_path / "b.keras", "config.json: 104857600 bytes, at most")


@pytest.mark.parametrize(
    "members, why",
    [
        ({}, "without config.json"),
        ({"config.json": "{}"}, "no model.weights.h5"),
        ({"config.json": "{}", "model.weights.json": "{}"}, "sharded"),
        ({"config.json": "[]", "model.weights.h5": ""}, "must be objects"),
        ({"config.json": json.dumps(DENSE), "model.weights.h5": "not HDF5"}, "damaged HDF5"),
        ({"config.json": json.dumps(DENSE), "model.weights.h5": ""}, "damaged HDF5"),
        ({"config.json": b"\xff\xfe", "model.weights.h5": ""}, "not UTF-8"),
        ({"../config.json": "{}"}, "without config.json"),
    ],
)
def test_members_that_are_missing_or_wrong(members, why, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as z:
        for name, text in members.items():
            z.writestr(name, text)
    refused(tmp_path / "a.keras", why)


def test_other_compressions_and_encryption(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_BZIP2) as z:
        z.writestr("config.json", json.dumps(DENSE))
        z.writestr("model.weights.h5", tree_bytes(TREE))
    refused(tmp_path / "a.keras", "other than stored or deflate")
    data = bytearray(Path(write_keras(tmp_path / "b.keras", DENSE, TREE)).read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1  # the flag of an encrypted member
    (tmp_path / "b.keras").write_bytes(data)
    refused(tmp_path / "b.keras", "encrypted")


# ---- damage -------------------------------------------------------------------------------------


def _good(tmp_path):
    shapes = ((3, 16), (4, 16), (16,))
    model = sequential(input_layer("x", (None, 5, 3)), layer("LSTM", "r", units=4, recurrent_activation="sigmoid"))
    names = ("r/lstm_cell/kernel:0", "r/lstm_cell/recurrent_kernel:0", "r/lstm_cell/bias:0")
    h5 = write_h5(tmp_path / "g.h5", model, {"r": list(zip(names, arrays(*shapes)))})
    zipped = write_keras(tmp_path / "g.keras", model, {"layers/lstm/cell": arrays(*shapes)}, "2.21.0")
    return Path(h5), Path(zipped)


@pytest.mark.parametrize("which", [0, 1])
def test_truncation_at_every_place(which, tmp_path):
    """No cut of a file is a model, or hangs."""
    data = _good(tmp_path)[which].read_bytes()
    for n in [*range(0, 200, 7), *range(200, len(data), max(1, len(data) // 60))]:
        (tmp_path / "cut").write_bytes(data[:n])
        refused(tmp_path / "cut", "damaged|empty file|not a Keras file|cannot read")


_FLIPS = """
import random, resource, sys
sys.path[:0] = [{root!r}]
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
from rnnrt.convert import build
from rnnrt.errors import ConversionError
data, rnd = open({src!r}, "rb").read(), random.Random({seed})
ended = [0, 0]
for _ in range({count}):
    bad = bytearray(data)
    for _ in range(rnd.choice([1, 1, 2, 6])):
        at = rnd.randrange(len(bad))
        # the upper bytes of a string's length only cost memory, up to 4 GiB of it: not for a test
        if bad[at] or at % 4 == 0:
            bad[at] = rnd.choice([rnd.randrange(256), 0, 255, bad[at] ^ 1 << rnd.randrange(8)])
    with open({dst!r}, "wb") as f:
        f.write(bad)
    try:
        build({dst!r})
        ended[0] += 1
    except (ConversionError, MemoryError):
        ended[1] += 1
print(*ended)
"""


@pytest.mark.parametrize("which", [0, 1])
def test_flipped_bytes(which, tmp_path):
    """Damage ends as ConversionError or in a model; never as a crash, another error, or a hang."""
    src = str(_good(tmp_path)[which])
    code = _FLIPS.format(
        root=str(Path(__file__).resolve().parents[2]), src=src, dst=str(tmp_path / "bad"), seed=which, count=400
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr[-2000:]
    built, failed = map(int, out.stdout.split())
    assert built + failed == 400 and failed > 20


def test_a_heap_that_makes_the_library_hang(tmp_path):
    """One byte in a global heap: the library would read its entry of size 0 for ever."""
    data = bytearray(_good(tmp_path)[0].read_bytes())
    heap = data.find(b"GCOL\x01")
    assert heap > 0
    check_heaps(bytes(data), "good")
    (size,) = struct.unpack_from("<Q", data, heap + 8)
    entry = heap + 16
    while struct.unpack_from("<H", data, entry)[0]:  # to the free space at the end
        entry += 16 + (struct.unpack_from("<Q", data, entry + 8)[0] + 7) // 8 * 8
    assert entry < heap + size
    struct.pack_into("<Q", data, entry + 8, 0)
    (tmp_path / "hang.h5").write_bytes(data)
    refused(tmp_path / "hang.h5", f"a global heap at byte {heap} has a broken entry")


def test_heaps_of_every_kind():
    rnd = random.Random(3)
    for _ in range(2000):
        body = bytes(rnd.randrange(256) for _ in range(rnd.randrange(80)))
        blob = (
            b"x" * rnd.randrange(9) + b"GCOL\x01\0\0\0" + struct.pack("<Q", rnd.choice([0, 16, 64, 2**63, 40])) + body
        )
        try:
            check_heaps(blob, "blob")  # ends, whatever it finds
        except ConversionError:
            pass
