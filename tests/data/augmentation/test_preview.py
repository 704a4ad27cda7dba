import numpy as np
import pytest
from PIL import Image

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation import preview
from pipeline.data.images.types import LabelledImages

ON = AugmentationSection(rotation_degrees=30, shift_fraction=0.1)
OFF = AugmentationSection()
CLASSES = tuple("abcdefghijkl")


@pytest.fixture
def data():
    images = np.zeros((24, 28, 28, 1), np.uint8)
    images[:, 8:20, 12:16] = 255
    return LabelledImages(images, np.arange(24) % 12)


class Sink:
    @staticmethod
    def savefig(path, dpi):
        pass


def draw(folder, data, section, classes=CLASSES):
    preview.draw(folder / "preview.png", data, classes, section, seed=0)
    with Image.open(folder / "preview.png") as picture:
        return np.asarray(picture.convert("L"), int)


@pytest.mark.parametrize("section", [ON, OFF])
def test_the_picture_has_a_row_for_each_image(tmp_path, data, section):
    ten = draw(tmp_path, data.select(np.arange(10)), section)
    four = draw(tmp_path, data.select(np.arange(4)), section)
    assert len(ten) - len(four) == pytest.approx(6 * 0.72 * 144, abs=2)


def test_the_first_image_of_each_of_ten_classes_is_shown_and_of_fewer_if_they_are_large():
    labels = np.array([3, 3, 0, 1, 0, 2, *range(4, 14)])
    shown = preview.shown_indices(labels, (28, 28, 1))
    assert labels[shown].tolist() == list(range(10))
    assert shown[:4].tolist() == [2, 3, 5, 0]
    assert len(preview.shown_indices(labels, (512, 512, 3))) == 1
    assert len(preview.shown_indices(labels, (4096, 4096, 3))) == 1


def test_originals_stay_and_variants_change(tmp_path, data):
    # Below the title, the first of eight columns holds the originals.
    off, on = draw(tmp_path, data, OFF)[80:], draw(tmp_path, data, ON)[80:]
    changed = np.flatnonzero((off != on).any(axis=0))
    assert off.shape == on.shape
    assert changed.min() > off.shape[1] / 8
    assert changed.max() > off.shape[1] * 7 / 8


def test_mixed_variants_are_drawn_and_named(tmp_path, data, monkeypatch):
    # Of a black and a white class, only blended images hold grey.
    levels = np.zeros((14, 28, 28, 1), np.uint8)
    levels[1::2] = 255
    two = LabelledImages(levels, np.arange(14) % 2)
    captions = []
    monkeypatch.setattr(preview, "_figure", lambda _, __, caption: captions.append(caption) or Sink)
    grids = []
    monkeypatch.setattr(preview, "_mosaic", grids.append)
    mixing = AugmentationSection(mixup_alpha=2, cutmix_alpha=1)
    for section in (OFF, mixing, mixing.model_copy(update={"mixing_probability": 0.0})):
        preview.draw(tmp_path / "preview.png", two, CLASSES, section, seed=0)
    off, on, never = (((grid > 0) & (grid < 255)).mean(axis=(0, 2, 3, 4)) for grid in grids)
    assert off.max() == never.max() == on[0] == 0
    assert on[1:].max() > 0
    assert captions == [
        "augmentation is off",
        "augmented: mixup 2, cutmix 1, labels mixed alike",
        "augmentation is off",
    ]


def test_long_names_get_room(tmp_path, data):
    short = draw(tmp_path, data, OFF)
    long = draw(tmp_path, data, OFF, classes=("a class with a long name",) * 12)
    assert long.shape[1] - short.shape[1] == pytest.approx(23 * 0.1 * 144, abs=2)
    assert (long[:, :10] == 255).all()


def test_colour_images_are_drawn_in_colour(tmp_path, data):
    red = np.concatenate([data.images, np.zeros((24, 28, 28, 2), np.uint8)], axis=3)
    draw(tmp_path, LabelledImages(red, data.labels), ON)
    with Image.open(tmp_path / "preview.png") as picture:
        colours = {colour[:3] for _, colour in picture.getcolors(2**20)}
    assert (255, 0, 0) in colours


def test_a_class_name_is_no_formula(tmp_path, data):
    found = draw(tmp_path, data, OFF, classes=(r"$\alpha_$",) * 12)
    assert (found[:, : found.shape[1] // 12] < 128).any()


def test_letters_that_the_font_lacks_are_boxes_and_no_warning(tmp_path, data):
    draw(tmp_path, data, OFF, ("\N{BOMB}", "\u732b", *CLASSES[2:]))


def test_a_caption_of_many_changes_takes_lines_and_not_room_from_the_images(tmp_path, data):
    many = AugmentationSection(
        rotation_degrees=10,
        horizontal_flip_probability=0.5,
        elastic_alpha=20,
        contrast_fraction=0.2,
        brightness_fraction=0.2,
        blur_sigma=1.5,
        noise_stddev=20,
        erasing_probability=0.5,
    )
    one_line, two_lines = draw(tmp_path, data, ON), draw(tmp_path, data, many)
    assert two_lines.shape[1] == one_line.shape[1]
    assert len(two_lines) - len(one_line) == pytest.approx(0.16 * 144, abs=2)
