"""Mixup and CutMix: each training image takes in a part of another of its batch, labels alike.

Mixup (Zhang et al., 2017, arXiv:1710.09412) blends the two; CutMix (Yun et al., 2019,
arXiv:1905.04899) pastes a rectangle of the other.
"""

import tensorflow as tf

from pipeline.config.augmentation import AugmentationSection
from pipeline.data.augmentation.random import Purpose, beta, of_each, permutation, uniform
from pipeline.data.augmentation.random_erasing import inside


def mix(
    images: tf.Tensor, targets: tf.Tensor, section: AugmentationSection, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each image, and its target by the same share, with a partner of the batch.

    Args:
        images: float32 (batch, height, width, channels), 0..255.
        targets: float32 (batch, classes), each of sum 1.
        section: how, how often and how much.
        seed: int64 (2,).

    Returns:
        Images and targets like those given.
    """
    if not section.mixes_images:
        return images, targets
    partners = permutation(seed, Purpose.MIXING_PARTNER, tf.shape(images)[0])
    weights = _random_weights(images, section, seed)
    shares = tf.reduce_mean(weights, axis=(1, 2, 3))
    mixed = tf.clip_by_value(blend(images, partners, weights), 0.0, 255.0)
    return mixed, blend(targets, partners, shares[:, None])


def blend(values: tf.Tensor, partners: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Gives w v + (1 - w) v', where v' are the partner's values.

    Args:
        values: float32 (batch, …).
        partners: the place of each one's partner: int32 (batch,).
        weights: w, 0..1, of a shape that broadcasts to that of `values`.
    """
    return weights * values + (1.0 - weights) * tf.gather(values, partners)


def _random_weights(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """How much each image keeps of each pixel: float32 (batch, height or 1, width or 1, 1)."""
    chance, kind, *centre = tf.unstack(uniform(seed, Purpose.MIXING, (4, tf.shape(images)[0])))
    is_cut = kind < section.cut_probability
    alpha = tf.where(is_cut, section.cutmix_alpha, section.mixup_alpha)
    kept = beta(seed, Purpose.MIXING_SHARE, alpha)
    weights = of_each(kept)
    if section.cut_probability:
        outside = weights_outside(images.shape[1:3], kept, centre)
        weights = tf.where(of_each(is_cut), outside, weights)
    return tf.where(of_each(chance < section.mixing_probability), weights, 1.0)


def weights_outside(size: tuple[int, int], kept: tf.Tensor, centre: list[tf.Tensor]) -> tf.Tensor:
    """0 within a rectangle of the image's shape and 1 around it.

    What would lie beyond the image's edges is lost, so more than `kept` may be left.

    Args:
        size: height and width in pixels.
        kept: share of the image that is not the rectangle's: float32 (batch,).
        centre: of the rectangle, shares of height and width: float32 (batch,) each.

    Returns:
        float32 (batch, height, width, 1).
    """
    sides = [tf.round(whole * tf.sqrt(1.0 - kept)) for whole in size]
    corner = [
        tf.floor(place * whole) - tf.floor(side / 2.0)
        for place, whole, side in zip(centre, size, sides, strict=True)
    ]
    return 1.0 - tf.cast(inside(size, corner, (sides[0], sides[1])), tf.float32)
