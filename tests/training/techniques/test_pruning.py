"""Pruned networks: what is 0 stays 0, and filters that are gone are missed by no answer."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from export.tflite.flatbuffer import operators, parse, stored
from export.tflite.quantization import quantize, ranges
from export.tflite.quantization.recipe import Recipe
from pipeline.config.schema import TrainSection
from pipeline.config.train.pruning import Pruning
from pipeline.training.techniques import chain_of
from pipeline.training.techniques.pruned_model import shrunk, sizes
from pipeline.training.techniques.pruning import Prune, choose, in_words, parts_of
from tests.export import float_models
from tests.training import resumed_training as training
from tests.training.test_resume import Kill, KilledError

layers = keras.layers


def network():
    keras.utils.set_random_seed(0)
    made = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.DepthwiseConv2D(2),
            layers.Flatten(),
            layers.Dense(10),
            layers.Activation("tanh"),
            layers.Dense(3),
            layers.Activation("softmax"),
        ]
    )
    random = np.random.default_rng(0)
    for layer in made.layers:
        lows = (-0.5 if w.ndim > 1 else 0.1 for w in layer.get_weights())
        pairs = zip(lows, layer.get_weights(), strict=True)
        layer.set_weights([random.uniform(low, 0.5, w.shape) for low, w in pairs])
    return made


def pruned(made, **section):
    """Takes all that the section says from a network at once."""
    callback = Prune(Pruning(end_fraction=0.5, **section), epochs=2)
    made.compile("sgd", "categorical_crossentropy")
    callback.set_model(made)
    callback.on_train_begin()
    callback.on_epoch_begin(1)
    return callback


def test_the_network_without_the_pruned_filters_gives_the_same_answers():
    made, images = network(), np.random.default_rng(1).uniform(0, 255, (20, 8, 8, 1))
    pruned(made, sparsity=0.5, structure="filters")
    smaller = shrunk(made)
    assert [layer.kernel.shape[-1] for layer in smaller.layers if has_kernel(layer)] == [3, 1, 5, 3]
    assert smaller.count_params() < 0.5 * made.count_params()
    answers = made.predict(images, verbose=0)
    assert answers.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(smaller.predict(images, verbose=0), answers, atol=1e-5)


def has_kernel(layer):
    return hasattr(layer, "kernel")


def test_pruned_weights_are_0_in_the_tflite_files_too(tmp_path):
    made = network()
    pruned(made, sparsity=0.7)
    assert sizes(made)["zero_share"] >= 0.7
    assert sizes(made)["kernel_deflated_bytes"] < 0.5 * sizes(made)["kernel_bytes"]
    _, prepared = float_models.prepared(tmp_path, *made.layers)
    observed = ranges.observe(prepared, float_models.images(5))
    for file in (prepared, quantize.quantize(prepared, observed, Recipe())):
        assert share_of_zeros(file) >= 0.7


def share_of_zeros(file):
    model = parse(file)
    kernels = [
        stored(model, model.subgraphs[0].tensors[operator.inputs[1]])
        for operator in operators(model)
        if operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]
    assert len(kernels) == 4
    return sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)


class WatchValidation(keras.callbacks.Callback):
    """Keeps the share of zeros in the kernels that each validation is asked of."""

    def __init__(self):
        super().__init__()
        self.shares = []

    def on_test_begin(self, logs=None):
        self.shares.append(sizes(self.model)["zero_share"])


def test_killed_while_it_prunes_it_ends_the_same_with_zeros_in_average_weights(tmp_path):
    """However often checkpoints are saved, before and after."""
    training.write_images(tmp_path)
    splits = training.open_images(tmp_path, "memory")

    def train(name, every_steps, *callbacks, began=None):
        pruning = {"sparsity": 0.75, "begin_fraction": 0.0, "end_fraction": 0.7}
        options = {"epochs": 3, "early_stopping_patience": None, "pruning": pruning}
        options["checkpoint_every_steps"] = every_steps
        config = training.make_config(training.AS_THEY_ARE, **options)
        return training.train(config, splits, tmp_path / name, *callbacks, began=began)

    watch, began = WatchValidation(), []
    unbroken = train("unbroken", None, watch)
    with pytest.raises(KilledError):
        train("killed", 2, Kill("step", 1, 6), began=began)
    resumed = train("killed", 1, began=began)
    assert began == [(0, 0), (1, 4)]
    training.assert_same(resumed, unbroken)
    assert watch.shares[0] == 0 < watch.shares[1] < 0.75 <= watch.shares[2]
    kernels = [array for array in unbroken.best if array.ndim > 1]
    assert len(kernels) == 2
    assert all((kernel == 0).mean() >= 0.75 for kernel in kernels)


def test_global_scope_takes_most_where_weights_are_least_and_leaves_each_filter_one():
    made = network()
    first = next(layer for layer in made.layers if has_kernel(layer))
    first.kernel.assign(first.kernel * 0.001)
    section = Pruning(sparsity=0.5, scope="global")
    kept = choose(parts_of(made, section), 0.5, "global")
    assert kept[0].reshape(9, 6).sum(axis=0).tolist() == [1] * 6
    assert sum(k.sum() for k in kept[1:]) / sum(k.size for k in kept[1:]) > 0.5
    by_layer = choose(parts_of(made, section), 0.5, "layer")
    assert [k.sum() for k in by_layer] == [k.size // 2 for k in by_layer]


def test_the_share_rises_fast_at_first_and_ends_before_the_last_epoch():
    section = Pruning(sparsity=0.8, begin_fraction=0.2, end_fraction=0.6)
    # 1 - (1 - 1/2)³ is 7/8.
    shares = [section.share(epoch, 10) for epoch in (0, 2, 4, 6, 9)]
    assert shares == pytest.approx([0, 0, 0.7, 0.8, 0.8])
    assert [section.end_epoch(epochs) for epochs in (2, 3, 10)] == [1, 2, 6]


def test_only_epochs_with_all_that_is_to_go_gone_may_be_kept():
    section = TrainSection(
        epochs=10, pruning={"sparsity": 0.5}, quantization_aware={"enabled": True}
    )
    chain = chain_of(section, None, None, None)
    assert chain.first_epoch() == 6
    names = [type(c).__name__ for c in chain.callbacks(0)]
    assert names == ["Prune", "BeginRounding"]


def test_pruning_that_would_end_before_it_begins_is_refused():
    with pytest.raises(ValidationError, match="expected less than end_fraction"):
        Pruning(sparsity=0.5, begin_fraction=0.7)


def test_what_is_taken_grows_while_it_trains_and_stays_taken():
    made = network()
    made.compile(keras.optimizers.Adam(0.1), "categorical_crossentropy")
    seen = SimpleNamespace(shares=[])

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.shares.append(sizes(made)["zero_share"])

    prune = Prune(Pruning(sparsity=0.7, begin_fraction=0, end_fraction=0.5), epochs=4)
    images = np.random.default_rng(0).uniform(0, 255, (16, 8, 8, 1))
    made.fit(images, np.eye(3)[np.arange(16) % 3], 8, 4, verbose=0, callbacks=[prune, Watch()])
    assert seen.shares[0] == 0 < seen.shares[1] < 0.7
    assert seen.shares[2] == seen.shares[3] >= 0.7


def test_the_summary_tells_what_is_left():
    found = {"parameters": 19_623, "zero_share": 0.5004}
    told = {
        structure: in_words(found, Pruning(sparsity=0.5, structure=structure))
        for structure in ("filters", "weights")
    }
    assert told["filters"] == "; 19,623 parameters are left"
    assert told["weights"] == "; 50.0% of the numbers in kernels are 0"
    assert chain_of(TrainSection(), None, None, None).summary() == ""
