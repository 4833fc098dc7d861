"""Builds a case as a model of either Keras. The only file here that knows Keras."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from cases.case import H5, KERAS2, KERAS3, WEIGHTS, WEIGHTS_H5, ZIP, Case, Layer, form, leaves

_CUDNN = {"CuDNNLSTM": ("LSTM", {}), "CuDNNGRU": ("GRU", {"reset_after": True})}


class Keras:
    """One of the two Kerases, switched to a float type."""

    def __init__(self, version: str, floatx: str = "float32", policy: str = "") -> None:
        self.version = version
        self.module = importlib.import_module("keras" if version == KERAS3 else "tf_keras")
        if version == KERAS3:
            self.module.config.set_floatx(floatx)
            self.module.utils.clear_session()  # forgets the policy
            self.module.config.set_dtype_policy(policy or floatx)
        else:
            self.module.backend.set_floatx(floatx)
            self.module.backend.clear_session()
            self.module.mixed_precision.set_global_policy(policy or None)
        self.floatx = floatx
        self._known: list[dict[str, Any]] = [{}]  # layers by name, of each model that is being built
        self.shared: dict[str, Any] = {}  # layers that several models hold, by name

    def tensor(self, array: np.ndarray) -> Any:
        """The backend's tensor: Keras 2 takes no arrays where a layer has several."""
        return importlib.import_module("tensorflow").constant(array)

    @property
    def keras_version(self) -> str:
        """What the files will say."""
        return self.module.__version__

    def layer(self, spec: Layer) -> Any:
        """The layer object, inner layers and cells included."""
        config = {k: self._value(v) for k, v in spec.config.items()}
        if spec.name:
            config["name"] = spec.name
        if self.floatx == "float64":
            config.pop("dtype", None)
        if spec.class_name in _CUDNN:
            name = f"cudnn_{spec.class_name[5:].lower()}"
            source = importlib.import_module(f"tf_keras.src.layers.rnn.{name}")
            return getattr(source, spec.class_name)(**config)
        if spec.class_name == "Shared":
            inner = spec.config["layer"]
            if inner.config["name"] not in self.shared:
                self.shared[inner.config["name"]] = self.layer(inner)
            return self.shared[inner.config["name"]]
        if spec.class_name == "Model":
            return self.model(spec.config["case"], self._known[-1])
        home = self.module if spec.class_name == "Sequential" else self.module.layers
        return getattr(home, spec.class_name)(**config)

    def _expression(self, code: str, args: list[Any]) -> Any:
        """Operations on tensors: ``a``, ``b``, ... are the inputs, ``ops`` is Keras 3's module, ``tf`` TensorFlow."""
        names: dict[str, Any] = dict(zip("abcd", args))
        names["ops"] = getattr(self.module, "ops", None)
        names["tf"] = importlib.import_module("tensorflow")
        return eval(code, names)  # noqa: S307  (a case of ours)

    def _value(self, value: Any) -> Any:
        """A layer's argument: a layer, a list of layers, or plain data."""
        if isinstance(value, Layer):
            return self.layer(value)
        return [self._value(v) for v in value] if isinstance(value, list) else value

    def model(self, case: Case, outer: Mapping[str, Any] | None = None) -> Any:
        """The model of a case, its weights set. A nested model may call layers of the outer one again."""
        inputs = []
        for i in case.inputs:
            options: dict[str, Any] = {"dtype": i.dtype if i.dtype != "float32" else self.floatx}
            if i.name:
                options["name"] = i.name
            shape = (case.batch if case.chunks else None, *i.shape)
            inputs.append(self.module.Input(batch_shape=shape, **options))
        if not case.outputs:
            model = self.module.Sequential()
            if case.start == "input":
                model.add(inputs[0])
            layers = [self.layer(v) for v in case.layers]
            for layer in layers:
                model.add(layer)
            if case.start == "deferred":
                model.build((None, *case.inputs[0].shape))
            keyed = dict(zip(map(str, range(len(layers))), layers))
        else:
            tensors: dict[str, Any] = {i.name: t for i, t in zip(case.inputs, inputs)}
            keyed = {}
            known = dict(outer or {})
            self._known.append(known)
            for spec in case.layers:
                args = [tensors[t] for t in spec.inputs]
                more = {
                    k: tensors[names] if isinstance(names, str) else [tensors[t] for t in names]
                    for k, names in spec.given.items()
                }
                if spec.class_name == "Expression":
                    made = self._expression(spec.config["code"], [tensors[t] for t in spec.inputs])
                else:
                    key = spec.config["of"] if spec.class_name == "Again" else spec.name
                    if key == spec.name:
                        keyed[key] = known[key] = self.layer(spec)
                    if spec.class_name != "MultiHeadAttention" and len(args) > 1:
                        args = [args]
                    made = known[key](*args, **more, **spec.call)
                for k, tensor in enumerate(leaves(made)):
                    tensors[f"{spec.name}:{k}" if k else spec.name] = tensor
            self._known.pop()
            if isinstance(case.outputs, str):
                outputs = form([tensors[case.outputs]], [case.outputs], case.output_form)
            else:
                names = [t.replace(":", "_") for t in case.outputs]
                outputs = form([tensors[t] for t in case.outputs], names, case.output_form or "list")
            model = self.module.Model(form(inputs, [i.name for i in case.inputs], case.input_form), outputs)
        named = {v.name: v for v in case.layers} if case.outputs else dict(zip(keyed, case.layers))
        own = {key: str(named[key].config.get("dtype", "")) for key in keyed}
        for key, layer in keyed.items():
            roles = [w.name.split("/")[-1].split(":")[0] for w in layer.weights]
            # a wrapper's second kernel is not its first
            keys = [f"{key}.{roles[:k].count(r)}" if r in roles[:k] else key for k, r in enumerate(roles)]
            values = [case.weight(k, r, tuple(w.shape)) for k, r, w in zip(keys, roles, layer.weights)]
            layer.set_weights([self._stored(v, own.get(key, "") or case.policy) for v in values])
            for inner in layer._flatten_layers():
                if hasattr(inner, "finalize_state"):
                    inner.finalize_state()  # Normalization computes with what it had before
        return model

    def _stored(self, values: np.ndarray, policy: str) -> np.ndarray:
        """The values that a layer of that policy keeps: both precisions must run on the same."""
        if policy not in ("float16", "bfloat16"):
            return values
        half = importlib.import_module("tensorflow").as_dtype(policy).as_numpy_dtype
        return values.astype(half).astype("float32")

    def runnable(self, case: Case, folder: Path) -> Any:
        """A model that runs on a CPU: the case's, or the layer that Keras loads CuDNN weights into."""
        if not any(v.class_name in _CUDNN for v in case.layers):
            return self.model(case)
        layers = []
        for v in case.layers:
            name, more = _CUDNN.get(v.class_name, (v.class_name, {}))
            layers.append(Layer(name, {**v.config, **more}))
        plain = Case(case.name, tuple(layers), case.inputs, case.outputs, versions=(KERAS2,))
        model = self.model(plain)
        model.load_weights(str(folder / ("model.h5" if case.layout == H5 else "weights.h5")))
        return model

    def run(self, case: Case, folder: Path, model: Any = None) -> tuple[list[list[np.ndarray]], bool]:
        """The outputs of each call, and whether they are a single array; of that model where it is already built."""
        model = model or self.runnable(case, folder)
        calls = []
        single = True
        for piece in case.pieces():
            arrays = [x.astype(self.floatx) if x.dtype == np.float32 else x for x in piece]
            y = model(form(arrays, [i.name for i in case.inputs], case.input_form), training=False)
            single = not isinstance(y, (list, tuple, dict))
            calls.append([np.asarray(v) for v in leaves(y)])
        return calls, single

    def save(self, case: Case, folder: Path, model: Any = None) -> str:
        """Write the files of a case; the name of the model's or the weights' file."""
        model = model or self.model(case)
        layout = case.layout_for(self.version)
        if layout in (H5, ZIP):
            name = f"model.{layout}"
            model.save(str(folder / name))
            if case.absent:
                assert layout == H5, case.name
                with h5py.File(folder / name, "r+") as file:
                    config = json.loads(file.attrs["model_config"])
                    file.attrs["model_config"] = json.dumps(_without(config, case.absent))
            return name
        assert layout in (WEIGHTS, WEIGHTS_H5), layout
        name = "weights.h5" if layout == WEIGHTS else "model.weights.h5"
        model.save_weights(str(folder / name))
        config = _without(json.loads(model.to_json()), case.absent)
        (folder / "architecture.json").write_text(json.dumps(config))
        return name


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    """A config without some of its keys, as a version that did not know them wrote it."""
    if isinstance(value, dict):
        return {k: _without(v, keys) for k, v in value.items() if k not in keys}
    if isinstance(value, list):
        return [_without(v, keys) for v in value]
    return value
