"""A network that several devices train as one: each takes its part of every batch.

The parts' losses, statistics of batch normalisation and gradients are summed over all devices, so
that a step is that of one device on the whole batch, also where the parts differ in size.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import tensorflow as tf

Batch = tuple[tf.Tensor, ...]
Execution = Callable[[Any], dict[str, Any]]
"""Steps on batches of a dataset's iterator, and what they measured."""


def scope_of(model: keras.Model) -> AbstractContextManager[Any]:
    """Where the variables of the model's optimizer must be made."""
    return model.strategy.scope() if isinstance(model, SharedModel) else nullcontext()


def share_out(model: keras.Model, strategy: tf.distribute.Strategy | None) -> keras.Model:
    """The same network with the same weights, for `fit` on all devices of the strategy.

    Args:
        model: a chain or graph of layers; stays as it is.
        strategy: says which devices; None for the model itself.
    """
    if strategy is None:
        return model
    place = Place()

    def layer_for_all(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if type(layer) is keras.layers.Dropout:
            return SharedDropout(place, **config)
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        return type(layer).from_config(config)

    with strategy.scope():
        layers = keras.models.clone_model(model, clone_function=layer_for_all)
    shared = SharedModel(layers, strategy, place)
    shared.dtype_policy = model.dtype_policy  # by which Keras decides whether to scale the loss
    for theirs, ours in zip(model.variables, shared.variables, strict=True):
        ours.assign(theirs.numpy())
    return shared


@dataclass(frozen=True)
class Share:
    """Images, targets and perhaps weights of a device; a part of them counts, 1 or less."""

    values: Batch
    part: tf.Tensor


def _all_finite_or_none(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Makes them NaN on all devices where they overflow on one.

    Keras sums them only after it has looked whether to pass over a step, on the first device alone
    (`LossScaleOptimizer._tf_apply` in 3.15; this can go when it sums them first).
    """
    own = tf.add_n([tf.reduce_sum(0 * gradient) for gradient in gradients])
    everywhere = tf.distribute.get_replica_context().all_reduce("SUM", own)
    return [gradient + everywhere for gradient in gradients]


class Place(threading.local):
    """Where in the batch the part begins whose step is being traced, in a thread a device."""

    first: tf.Tensor | int = 0


class SharedDropout(keras.layers.Dropout):
    """Drops in each image what one device would drop in it."""

    def __init__(self, place: Place, **options: Any) -> None:
        super().__init__(**options)
        self._place = place

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or not self.rate:
            return inputs
        first, shape = self._place.first, tf.shape(inputs)
        ones = tf.ones(tf.concat([[first + shape[0]], shape[1:]], 0), inputs.dtype)
        kept = keras.random.dropout(ones, self.rate, self.noise_shape, self.seed_generator)
        return inputs * kept[first:]


class SharedModel(keras.Model):
    """Made outside of the strategy's scope, so that Keras' `fit` hands it whole batches."""

    def __init__(
        self, network: keras.Model, strategy: tf.distribute.Strategy, place: Place
    ) -> None:
        super().__init__(inputs=network.inputs, outputs=network.outputs)
        self.strategy = strategy
        self._place = place
        self._measured = [keras.metrics.Mean(name=name) for name in ("accuracy", "loss")]

    @property
    def metrics(self) -> list[keras.Metric]:
        return self._measured

    def compute_metrics(self, *_: Any, **__: Any) -> dict[str, Any]:
        """What was measured since the metrics were last reset; the steps update them."""
        return self.get_metrics_result()

    def compile(self, *arguments: Any, **options: Any) -> None:
        super().compile(*arguments, **options)
        self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> None:
        if force or not self.train_function:
            self.train_function: Execution | None = self._on_all(self._train_on_part)

    def make_test_function(self, force: bool = False) -> None:
        if force or not self.test_function:
            self.test_function: Execution | None = self._on_all(self._test_on_part)

    def _on_all(self, on_part: Callable[[Batch], tf.Tensor]) -> Execution:
        def step(batch: Batch) -> dict[str, Any]:
            sums = self.strategy.run(on_part, args=(batch,))
            loss, correct = tf.unstack(self.strategy.reduce("SUM", sums, axis=None))
            count = tf.cast(tf.shape(batch[0])[0], tf.float32)
            accuracy_metric, loss_metric = self._measured
            accuracy_metric.update_state(correct / count, sample_weight=count)
            loss_metric.update_state(loss, sample_weight=count)
            return self.get_metrics_result()

        # By what all batches have in common: a smaller last one is not traced anew.
        traced = cache(lambda spec: tf.function(step, input_signature=(spec,)))

        def execution(iterator: Any) -> dict[str, Any]:
            run = traced(iterator.element_spec)
            logs = run(next(iterator))
            for _, batch in zip(range(self.steps_per_execution - 1), iterator, strict=False):
                logs = run(batch)
            return logs

        return execution

    def _train_on_part(self, batch: Batch) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss, correct = self._measure(batch, training=True)
            scaled = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        gradients = tape.gradient(scaled, weights)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = _all_finite_or_none(gradients)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return tf.stack([loss, correct])

    def _test_on_part(self, batch: Batch) -> tf.Tensor:
        return tf.stack(self._measure(batch, training=False))

    def _measure(self, batch: Batch, *, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """This part's share of the loss, of which the sum is the loss, and of the right answers."""
        count, share = tf.cast(tf.shape(batch[0])[0], tf.float32), self._take(batch)
        images, targets, *weights = share.values
        answers = tf.cast(self(images, training=training), tf.float32)
        losses = self.loss.call(targets, answers)
        for weight in weights:
            losses *= weight
        loss = share.part * tf.reduce_sum(losses) / count
        if self.losses:
            loss += tf.add_n(self.losses) / self.strategy.num_replicas_in_sync
        right = tf.equal(tf.argmax(targets, -1), tf.argmax(answers, -1))
        return loss, share.part * tf.reduce_sum(tf.cast(right, tf.float32))

    def _take(self, batch: Batch) -> "Share":
        """The part of this device; where one would get none, each takes the whole for a share.

        TensorFlow's convolutions give a wrong shape for no images.
        """
        parts = self.strategy.num_replicas_in_sync
        count = tf.shape(batch[0])[0]
        size = -(-count // parts)
        is_short = count <= (parts - 1) * size
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        first, last = number * size, (number + 1) * size
        self._place.first = first = tf.where(is_short, 0, first)
        last = tf.where(is_short, count, last)
        with tf.device("CPU:0"):  # only the part is sent to a GPU
            values = tuple(array[first:last] for array in batch)
        return Share(values, tf.where(is_short, 1 / parts, 1.0))
