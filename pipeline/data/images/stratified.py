"""Draws stratified parts of a data set: each class keeps its share, the seed decides the rest."""

import zlib

import numpy as np

from pipeline.core.errors import DataError


def stratified_sample(
    labels: np.ndarray, count: int, seed: int, purpose: str = "sample"
) -> np.ndarray:
    """Draws images so that each class keeps its share, at least one each where `count` allows.

    Args:
        labels: int64 (images,).
        count: how many to draw; all where there are no more.
        seed: decides which.
        purpose: a word that keeps draws of one seed apart.

    Returns:
        Indices into `labels`: int64 (count,), rising.
    """
    if count >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    return _draw(labels, _apportion(sizes, count, limits=sizes), seed, purpose)


def sample_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws `count` images of each class, or all of a class that has fewer.

    Returns:
        Indices into `labels`: int64, rising.
    """
    return _draw(labels, np.minimum(np.bincount(labels), count), seed, "train_per_class")


def split_validation(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a stratified validation split; each class stays in both parts.

    Returns:
        Indices of the training and of the validation images: int64, rising.

    Raises:
        DataError: a class has fewer than two images.
    """
    sizes = np.bincount(labels)
    if (lonely := np.flatnonzero(sizes == 1)).size:
        raise DataError(
            f"training split: label {lonely[0]} has one image, but validation and training need "
            "one each. Add images, or raise data.train_limit."
        )
    count = max(round(fraction * len(labels)), np.count_nonzero(sizes))
    limits = np.maximum(sizes - 1, 0)
    shares = _apportion(sizes, min(count, limits.sum()), limits)
    validation = _draw(labels, shares, seed, "validation")
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def draw_test(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a stratified test split, at least one image of each class.

    Args:
        labels: int64 (images,), each of them of two images or more.
        fraction: the share to draw.
        seed: decides which.

    Returns:
        Indices of the images to train on and of those to test on: int64, rising.
    """
    count = max(round(fraction * len(labels)), len(np.unique(labels)))
    drawn = stratified_sample(labels, count, seed, "test")
    return np.setdiff1d(np.arange(len(labels)), drawn), drawn


def evenly_spread(total: int, count: int) -> np.ndarray:
    """Indices of `count` of so many, or of all, as far from each other as can be: int64, rising."""
    return np.linspace(0, total - 1, min(count, total)).astype(np.int64)


def _apportion(sizes: np.ndarray, total: int, limits: np.ndarray) -> np.ndarray:
    """Shares out `total` by size with largest remainders, between one and `limits` a class."""
    exact = sizes * (total / sizes.sum())
    floor = ((sizes > 0) & (total >= np.count_nonzero(sizes))).astype(np.int64)
    shares = np.clip(exact.astype(np.int64), floor, limits)
    while shares.sum() < total:
        shares[np.argmax(np.where(shares < limits, exact - shares, -np.inf))] += 1
    while shares.sum() > total:
        shares[np.argmin(np.where(shares > floor, exact - shares, np.inf))] -= 1
    return shares


def _draw(labels: np.ndarray, shares: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    generator = np.random.default_rng([seed, zlib.crc32(purpose.encode())])
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
    drawn = [
        generator.choice(of_class, share, replace=False)
        for of_class, share in zip(members, shares, strict=True)
    ]
    return np.sort(np.concatenate(drawn))
