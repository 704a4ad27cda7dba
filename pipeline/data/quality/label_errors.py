"""Labels that a quick probe contradicts: it has seen the other images, but not this one.

The probe is ridge regression of the classes on random Fourier features of the thumbnails (Rahimi
and Recht 2007, "Random Features for Large-Scale Kernel Machines"), cross-validated in five folds.
As in confident learning (Northcutt, Jiang and Chuang 2021), only what contradicts a label out of
fold and with confidence is told.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.core.text import count_of
from pipeline.data.images.stratified import stratified_sample
from pipeline.data.make_splits import Profiled
from pipeline.data.quality.finding import Finding, Material
from pipeline.data.quality.pixel_statistics import means

FOLDS = 5
FEATURES = 1000
RIDGE = 0.01
MOST_SCORES = 2**26
MARGIN = 0.7
"""By how much the score of another class must be above that of the label."""


def suspect_labels(material: Material) -> Iterator[Finding]:
    """Training images that look like those of another class and not like those of their own."""
    train = material.surveyed["train"]
    labels, asked = train.profile.labels, material.section.suspect_images
    most = min(asked, MOST_SCORES // len(material.classes))
    probed = train.select(stratified_sample(labels, most, seed=0, purpose="suspects"))
    suspects, answers = contradicted(_inputs(probed), probed.profile.labels)
    if len(suspects):
        example = material.example(int(probed.numbers[suspects[0]]))
        yield Finding(
            "suspect_labels",
            len(suspects),
            f"{count_of(len(suspects), 'training label')} of {len(probed):,} "
            f"that a probe contradicts: {example.name} is labelled {example.label!r} and looks "
            f"like {material.classes[answers[0]]!r}; look at them",
            material.singles(probed.numbers[suspects]),
        )


def _inputs(part: Profiled) -> np.ndarray:
    """Thumbnails without brightness and contrast, and colours: float32 (count, values)."""
    flat = part.profile.thumbnails.reshape(len(part), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1)
    return np.hstack([flat, means(part).astype(np.float32) / 255])


def contradicted(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which labels the probe contradicts.

    Args:
        inputs: float32 (count, values).
        labels: int64 (count,).

    Returns:
        Indices of the images, most doubtful first, and what the probe says of each: int64.
    """
    scores = _scores(_features(inputs), np.eye(labels.max() + 1, dtype=np.float32)[labels])
    answers = scores.argmax(axis=1)
    rows = np.arange(len(labels))
    margins = scores[rows, answers] - scores[rows, labels]
    suspects = np.flatnonzero(margins > MARGIN)
    suspects = suspects[np.argsort(-margins[suspects], kind="stable")]
    return suspects, answers[suspects]


def _features(inputs: np.ndarray) -> np.ndarray:
    """Of the kernel exp(-|x - y|²): float32 (count, 1000)."""
    from sklearn.kernel_approximation import RBFSampler

    return RBFSampler(n_components=FEATURES, random_state=0).fit_transform(inputs)


def _scores(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What the other folds say of each image: float32 (count, classes), about 0 to 1.

    Folds share their products, which scikit-learn's Ridge would compute four times as often.
    """
    folds = np.random.default_rng(1).permutation(len(features)) % FOLDS
    parts = [(features[folds == fold], targets[folds == fold]) for fold in range(FOLDS)]
    squares = [own.T @ own for own, _ in parts]
    products = [own.T @ wanted for own, wanted in parts]
    penalty = RIDGE * np.eye(FEATURES, dtype=np.float32)
    scores = np.empty_like(targets)
    for fold, (own, _) in enumerate(parts):
        others = sum(squares) - squares[fold] + penalty
        scores[folds == fold] = own @ np.linalg.solve(others, sum(products) - products[fold])
    return scores
