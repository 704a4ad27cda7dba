"""A training that begins from a trained model: what it leaves alone, and that it resumes."""

import keras
import numpy as np
import pytest

from pipeline.data.dataset_json import Description
from pipeline.training.optimizer import compile_model
from pipeline.training.techniques import chain_of
from tests.training import resumed_training as training
from tests.training.begun_models import CLASSES, SIDE, make, weights, with_other_weights
from tests.training.test_resume import Kill, KilledError

DATA = Description((SIDE, SIDE, 1), CLASSES, {}, (), (), "made", {}, {})
UNFREEZING = {
    "head": "kept",
    "freeze": "all_but_head",
    "unfreeze_every_epochs": 1,
    "freeze_batch_norm": False,
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The folder of images, and the trained model."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "images").mkdir()
    training.write_images(folder / "images")
    with_other_weights(make()).save(folder / "old.keras")
    return folder / "images", folder / "old.keras"


@pytest.fixture
def train(places, monkeypatch):
    """Trains from the old model; gives what comes out and the weights at the end of each epoch."""
    images, old = places
    splits = training.open_images(images, "memory")

    def run(folder, fine_tuning, *callbacks, **options):
        begun_from = {"initial_weights": old, "fine_tuning": fine_tuning}
        options |= {"early_stopping_patience": None, **begun_from}
        config = training.make_config(training.AS_THEY_ARE, **options)
        monkeypatch.setattr(training, "make_model", lambda: make(seed=4))
        return training.train(config, splits, folder, *callbacks)

    return run


class Watch(keras.callbacks.Callback):
    """Keeps the weights at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(weights(self.model))


def test_layers_are_unfrozen_epoch_by_epoch_from_the_head_on(train, tmp_path):
    watch = Watch()
    train(tmp_path, UNFREEZING, watch, epochs=2, ema_momentum=None)
    old = weights(with_other_weights(make()))
    unmoved = [{name for name in old if epoch[name] == old[name]} for epoch in watch.epochs]
    assert unmoved == [{"conv1", "conv2"}, {"conv1"}]
    scale, _, mean, _ = range(4)
    assert watch.epochs[1]["norm1"][scale] == old["norm1"][scale]
    assert watch.epochs[1]["norm1"][mean] != old["norm1"][mean]


@pytest.mark.long
def test_a_gradual_unfreezing_that_is_killed_ends_the_same(train, tmp_path):
    unbroken = train(tmp_path / "unbroken", UNFREEZING, epochs=2, ema_momentum=None)
    killed = tmp_path / "killed"
    with pytest.raises(KilledError):
        train(killed, UNFREEZING, Kill("step", 1, 4), epochs=2, ema_momentum=None)
    resumed = train(killed, UNFREEZING, epochs=2, ema_momentum=None)
    training.assert_same(resumed, unbroken)


def test_what_is_frozen_is_the_same_to_the_last_bit_and_rates_slow_the_rest(places):
    section = training.make_config(
        initial_weights=places[1],
        fine_tuning={"head": "kept", "freeze": ("conv1",), "rate_factors": {"conv2": 1e-6}},
        schedule="constant",
    ).train
    model, old, data = make(), weights(with_other_weights(make())), training.images(10, seed=1)
    chain = chain_of(section, DATA, data, lambda text: None)
    chain.wrap(model)
    compile_model(model, section, 2, {"run_eagerly": True})
    chain.compiled(model, steps_per_epoch=2)
    for _ in range(2):
        model.train_on_batch(data.images.astype("float32"), np.eye(3)[data.labels])
    end = weights(model)
    assert (end["conv1"], end["norm1"]) == (old["conv1"], old["norm1"])
    assert 0 < max_change(end["conv2"], old["conv2"]) < 1e-4
    assert max_change(end["logits"], old["logits"]) > 1e-2


def max_change(some, others):
    pairs = zip(some, others, strict=True)
    return max(abs(array(a) - array(b)).max() for a, b in pairs)


def array(content):
    return np.frombuffer(content, np.float32)
