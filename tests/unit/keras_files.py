"""Keras files made by hand, with h5py and zipfile alone, for the tests of conversion."""

from __future__ import annotations

import io
import json
import zipfile

import h5py
import numpy as np

POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}


def arrays(*shapes, seed=1):
    """Arrays of those shapes, no two values alike."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def layer(class_name, name, generation=2, inbound=None, **config):
    """One entry of ``layers``. inbound: the inbound nodes of a functional model."""
    dtype = POLICY if generation == 3 and class_name != "InputLayer" else "float32"
    out = {"class_name": class_name, "config": {"name": name, "trainable": True, "dtype": dtype, **config}}
    if inbound is not None:
        out |= {"name": name, "inbound_nodes": inbound}
    return out


def input_layer(name, shape, generation=2, functional=False, **config):
    """An InputLayer; shape includes the batch."""
    key = "batch_shape" if generation == 3 else "batch_input_shape"
    return layer("InputLayer", name, generation, [] if functional else None, **{key: list(shape)}, **config)


def sequential(*layers, name="m"):
    """The architecture of a Sequential."""
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def functional(layers, inputs, outputs, name="m"):
    """The architecture of a functional model; inputs and outputs as the file writes them."""
    config = {"name": name, "layers": list(layers), "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def tensor3(name, call=0, index=0, shape=None):
    """A tensor in a Keras 3 node."""
    config = {"shape": shape, "dtype": "float32", "keras_history": [name, call, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def node3(*args, **kwargs):
    """A Keras 3 inbound node."""
    return {"args": list(args), "kwargs": kwargs}


def _names(values, style):
    if style == "bytes":
        return np.array([v.encode() for v in values], dtype="S") if values else np.zeros((0,))
    return values


def write_group(group, weights, version="2.15.0", style="str", chunk=0):
    """A weight group. weights: {layer: [(weight name, array)]}; chunk: names per attribute chunk."""
    names = list(weights)
    if chunk:
        for k in range(0, len(names), chunk):
            group.attrs[f"layer_names{k // chunk}"] = _names(names[k : k + chunk], style)
    else:
        group.attrs["layer_names"] = _names(names, style)
    if version is not None:
        group.attrs["keras_version"] = version.encode() if style == "bytes" else version
        group.attrs["backend"] = "tensorflow"
    for name, items in weights.items():
        sub = group.create_group(name)
        sub.attrs["weight_names"] = _names([n for n, _ in items], style)
        for n, a in items:
            sub[n] = a


def write_h5(path, architecture, weights, version="2.15.0", style="str", chunk=0, group_version="same"):
    """A whole-model HDF5 file."""
    with h5py.File(path, "w") as f:
        text = json.dumps(architecture)
        f.attrs["model_config"] = np.bytes_(text.encode()) if style == "bytes" else text
        if version is not None:
            f.attrs["keras_version"] = version
        group = f.create_group("model_weights")
        write_group(group, weights, version if group_version == "same" else group_version, style, chunk)
    return str(path)


def write_tree(file, tree):
    """``{"layers/lstm/cell": [arrays]}`` as vars groups."""
    for where, items in tree.items():
        group = file.create_group(f"{where}/vars")
        for k, a in enumerate(items):
            group[str(k)] = a


def tree_bytes(tree):
    """The bytes of a model.weights.h5."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as f:
        write_tree(f, tree)
    return buffer.getvalue()


def write_keras(path, architecture, tree, version="3.9.2", compression=zipfile.ZIP_STORED):
    """A ``.keras`` file."""
    with zipfile.ZipFile(path, "w", compression) as z:
        z.writestr("metadata.json", json.dumps({"keras_version": version, "date_saved": "2026-01-01@00:00:00"}))
        z.writestr("config.json", json.dumps(architecture))
        z.writestr("model.weights.h5", tree_bytes(tree))
    return str(path)
