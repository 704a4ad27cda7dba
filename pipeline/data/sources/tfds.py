"""Reads any image classification data set of TensorFlow Datasets, by its name."""

import contextlib
import io
import logging
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.config.schema import ClassNames, DataSection, OutsidePath
from pipeline.config.suggestions import nearest
from pipeline.core.errors import DataError
from pipeline.data.images.types import LabelledImages, SourceData
from pipeline.data.sources._pixel_range import Range, as_bytes, no_number, wrong_pixel

if TYPE_CHECKING:
    import numpy as np

DOWNLOAD_RETRIES = 4
BATCH_SIZE = 1000

logger = logging.getLogger(__name__)


class Options(DataSection):
    """Which data set, and which of its parts.

    Attributes:
        dataset: a name such as `mnist`, `emnist/letters` or `mnist:3.0.1`.
        data_dir: where prepared data sets are kept; the library's own folder where None.
        manual_dir: a folder with the archives; nothing it holds is downloaded.
        train_split: a split or a slice of one, such as `train[:80%]`.
        test_split: likewise, of the images to test with.
        image_key: the feature with the image; the data set's own choice where None.
        label_key: the feature with the label; the data set's own choice where None.
        image_size: height and width to resize to; images of different sizes need it.
        classes: names in label order; the data set's own where None.
    """

    source: Literal["tfds"] = "tfds"
    dataset: str
    data_dir: OutsidePath | None = None
    manual_dir: OutsidePath | None = None
    train_split: str = "train"
    test_split: str = "test"
    image_key: str | None = None
    label_key: str | None = None
    image_size: tuple[int, int] | None = None
    classes: ClassNames | None = None

    def outside_files(self) -> dict[str, Path]:
        if self.manual_dir is None:
            return {}
        if not self.manual_dir.is_dir():
            raise DataError(
                f"{self.manual_dir}: no such folder. Put the archives of {self.dataset} there, "
                "or leave out data.manual_dir to download them."
            )
        found = sorted(path for path in self.manual_dir.rglob("*") if path.is_file())
        return {path.relative_to(self.manual_dir).as_posix(): path for path in found}


def load(options: Options) -> SourceData:
    """Prepares the data set where that is still to do, and reads both splits.

    Raises:
        DataError: the name, a split or a feature is unknown, the data set is not one of images
            with one class each, or it cannot be downloaded.
    """
    with _quiet():
        builder = _find_builder(options)
        image_key, label_key = _keys(builder, options)
        _refuse_features(builder, image_key, label_key, options)
        _prepare(builder, options)
        train = _read(builder, options.train_split, (image_key, label_key), options)
        test = _read(builder, options.test_split, (image_key, label_key), options)
    origin = f"TensorFlow Datasets {builder.info.full_name}"
    names = tuple(builder.info.features[label_key].names)
    if options.classes and len(options.classes) != len(names):
        raise DataError(
            f"data.classes: {len(options.classes)} names, expected {len(names)}, as "
            f"{options.dataset} has classes. Correct it, or leave it out."
        )
    return SourceData(train, test, options.classes or names, origin)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the library's bars, prints and retry warnings off the terminal, and retries few."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    loggers = [logging.getLogger(name) for name in ("absl", "urllib3.connectionpool")]
    levels, retries = [each.level for each in loggers], downloader.MAX_RETRIES
    tfds.disable_progress_bar()
    downloader.MAX_RETRIES = DOWNLOAD_RETRIES
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tfds.enable_progress_bar()
        downloader.MAX_RETRIES = retries
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _find_builder(options: Options) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(options.dataset, data_dir=options.data_dir)
    except tfds.core.DatasetNotFoundError as error:
        names = tfds.list_builders(with_community_datasets=False)
        near = nearest(options.dataset, names)
        hint = f"Did you mean '{near}'?" if near else "The names: tensorflow.org/datasets."
        raise DataError(
            f"data.dataset: '{options.dataset}' is not in TensorFlow Datasets. {hint}"
        ) from error
    except (ValueError, ImportError, OSError) as error:
        raise DataError(
            f"data.dataset: '{options.dataset}' cannot be opened ({_one_line(error)}). "
            "Write it as name, name/config or name:version."
        ) from error


def _keys(builder: Any, options: Options) -> tuple[str, str]:
    image_key, label_key = builder.info.supervised_keys or ("image", "label")
    return options.image_key or image_key, options.label_key or label_key


def _refuse_features(builder: Any, image_key: str, label_key: str, options: Options) -> None:
    import tensorflow_datasets as tfds

    features = builder.info.features
    wanted = {
        "image": (image_key, tfds.features.Image),
        "label": (label_key, tfds.features.ClassLabel),
    }
    for option, (key, kind) in wanted.items():
        if key not in features or not isinstance(features[key], kind):
            raise DataError(
                f"data.{option}_key: '{key}' of {options.dataset} is no {kind.__name__}. "
                f"Its features: {', '.join(sorted(features))}."
            )
    if options.image_size is None and None in features[image_key].shape:
        raise DataError(
            f"data.dataset: the images of {options.dataset} differ in size. "
            "Set data.image_size, such as [64, 64]."
        )


def _prepare(builder: Any, options: Options) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=options.manual_dir)
    logger.info("Preparing %s in %s", options.dataset, builder.data_dir)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=config)
    except Exception as error:  # a builder is foreign code and may raise anything
        raise DataError(
            f"data.dataset: {options.dataset} could not be prepared ({_one_line(error)}). "
            "Check the network, or put its archives in a folder and name it as data.manual_dir."
        ) from error


def _read(builder: Any, split: str, keys: tuple[str, str], options: Options) -> LabelledImages:
    import numpy as np
    import tensorflow_datasets as tfds

    where = f"data.dataset: split '{split}'"
    try:
        records = builder.as_dataset(split=split)
    except ValueError as error:
        raise DataError(
            f"data: {options.dataset} has no split '{split}'. It has "
            f"{', '.join(builder.info.splits)}; a slice is written train[:80%]."
        ) from error
    pairs = records.map(lambda record: tuple(record[key] for key in keys))
    if options.image_size:
        pairs = pairs.map(_resizing(options.image_size, options.pixel_range))
    batches = list(tfds.as_numpy(pairs.batch(BATCH_SIZE)))
    images, labels, *wrong = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if not wrong:
        images = as_bytes(where, images, options.pixel_range)
    elif wrong[0].any():
        raise _wrong(where, options.pixel_range, *wrong)
    return LabelledImages(images, labels.astype(np.int64))


def _wrong(
    where: str,
    pixel_range: Range | None,
    is_wrong: "np.ndarray",
    values: "np.ndarray",
    ends: "np.ndarray",
) -> DataError:
    """The first image with a value that is no number, else the first with one out of the range."""
    import numpy as np

    no_numbers = np.flatnonzero(~np.isfinite(values))
    if no_numbers.size:
        return no_number(where, values[no_numbers[0]], int(no_numbers[0]))
    index = int(is_wrong.argmax())
    reached = float(ends[:, 0].min()), float(ends[:, 1].max())
    return wrong_pixel(where, values[index], index, reached, pixel_range)


def _resizing(size: tuple[int, int], pixel_range: Range | None) -> Callable[..., tuple[Any, ...]]:
    """Brings an image to 0..255, then to a size: uint8; a mean of two pixels may be any level.

    Beside image and label, the function gives whether a value was wrong, the first such one
    (NaN or an infinity before others), and the lowest and the highest value.
    """
    import tensorflow as tf

    low, high = pixel_range or (0, 255)

    def resized(image: "tf.Tensor", label: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
        image = tf.cast(image, tf.float64)
        is_right = (image >= low) & (image <= high)
        if pixel_range is None:
            is_right &= image == tf.floor(image)
        is_finite = tf.math.is_finite(image)
        worst = (tf.boolean_mask(image, mask) for mask in (~is_finite, ~is_right))
        wrong = tf.concat([*worst, tf.constant([0], tf.float64)], 0)
        ends = tf.stack([tf.reduce_min(image), tf.reduce_max(image)])
        scaled = tf.cast((image - low) * (255 / (high - low)), tf.float32)
        pixels = tf.clip_by_value(tf.image.resize(scaled, size, antialias=True), 0, 255)
        return tf.cast(tf.round(pixels), tf.uint8), label, tf.size(wrong) > 1, wrong[0], ends

    return resized


def _one_line(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")
