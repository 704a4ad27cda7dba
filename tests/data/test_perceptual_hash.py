"""Equal and nearly equal images, on pictures made by hand and by known changes."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from pipeline.data.image_statistics import profile, thumbnails
from pipeline.data.images.types import LabelledImages
from pipeline.data.perceptual_hash import alike_groups, equal_groups
from pipeline.data.sources import idx

SIMILARITY = 0.998
CHANGES = {
    "JPEG of quality 60": lambda picture: jpeg(picture, 60),
    "half its size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "larger by half": lambda picture: picture.resize((300, 270)),
    "5 % brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.05),
    "5 % darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.95),
}


def jpeg(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def scene(generator):
    """A picture with the spectrum of photos and some shapes."""
    frequency = np.hypot(np.fft.fftfreq(180)[:, None], np.fft.rfftfreq(200)[None])
    frequency[0, 0] = 1
    waves = np.exp(2j * np.pi * generator.random((3, 180, 101))) / frequency**1.3
    values = np.fft.irfft2(waves, (180, 200)).transpose(1, 2, 0)
    values = 220 * (values - values.min()) / np.ptp(values)
    picture = Image.fromarray(values.astype(np.uint8))
    for _ in range(3):
        left, top, width, height = generator.integers(20, 100, 4).tolist()
        colour = tuple(generator.integers(0, 240, 3).tolist())
        ImageDraw.Draw(picture).ellipse([left, top, left + width, top + height], fill=colour)
    return picture


def as_training_sees(picture):
    return np.asarray(picture.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))


def groups(images, similarity=SIMILARITY):
    colours = images.mean(axis=(1, 2))
    return alike_groups(np.arange(len(images)), thumbnails(images), colours, similarity)


@pytest.fixture(scope="module")
def scenes():
    generator = np.random.default_rng(3)
    return [scene(generator) for _ in range(25)]


def test_equal_images_share_the_index_of_the_first():
    values = np.array([7, 3, 7, 3, 5], np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (5, 2, 2, 1))
    digests = profile(LabelledImages(images, np.zeros(5, np.int64))).digests
    assert equal_groups(digests).tolist() == [0, 1, 0, 1, 4]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_near_duplicate_and_no_other_image_is(scenes, change):
    pictures = [*scenes, *map(CHANGES[change], scenes)]
    found = groups(np.stack([as_training_sees(picture) for picture in pictures]))
    assert found.tolist() == [*range(25), *range(25)]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: ImageEnhance.Brightness(p).enhance(0.7),
        lambda p: ImageEnhance.Contrast(p).enhance(0.8),
        lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda p: Image.merge("RGB", (p.getchannel(2), p.getchannel(1), p.getchannel(0))),
        lambda p: p.crop((10, 10, 190, 170)),
    ],
    ids=["much darker", "paler", "mirrored", "of other colours", "cropped"],
)
def test_what_shows_something_else_is_no_near_duplicate(scenes, change):
    pictures = [scenes[0], change(scenes[0])]
    assert groups(np.stack(list(map(as_training_sees, pictures)))).tolist() == [0, 1]


def test_copies_are_found_among_thousands_though_bits_of_their_hashes_flip():
    generator = np.random.default_rng(0)
    images = generator.normal(128, 30, (3000, 16, 16, 1))
    copies = images + generator.normal(0, 1.2, images.shape)  # correlation 1 - 0.04**2 / 2
    both = np.clip(np.rint(np.concatenate([images, copies])), 0, 255).astype(np.uint8)
    found = groups(both)
    assert (found[:3000] == np.arange(3000)).all()
    assert (found[3000:] == np.arange(3000)).mean() > 0.995


def test_flat_images_are_never_near_duplicates():
    images = (
        np.full((6, 16, 16, 1), 90, np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None, None]
    )
    images[:, :8] += 2
    assert groups(images).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_chain_of_like_images_is_parted_where_its_ends_are_unlike(scenes):
    images = np.stack([as_training_sees(scenes[0])] * 3).astype(np.int16)
    images[1] += 8
    images[2] += 16  # Beyond what the first may differ by, together with the change of 8 below.
    images[0] -= 8
    images = np.clip(images, 0, 255).astype(np.uint8)
    assert groups(images[[0, 2]]).tolist() == [0, 1]
    assert groups(images).tolist() == [0, 0, 2]


def test_a_copy_is_found_by_its_original_s_name_though_that_has_copies_too(scenes):
    first, copy = as_training_sees(scenes[0]), as_training_sees(jpeg(scenes[0], 60))
    images = np.stack([as_training_sees(scenes[1]), first, first, copy, copy])
    equal = np.array([0, 1, 1, 3, 3])
    found = alike_groups(equal, thumbnails(images), images.mean(axis=(1, 2)), SIMILARITY)
    assert found.tolist() == [0, 1, 1, 1, 1]


def test_at_a_similarity_of_one_equal_images_alone_are_alike(scenes):
    images = np.stack([as_training_sees(scenes[0]), as_training_sees(jpeg(scenes[0], 60))])
    assert groups(images, 1.0).tolist() == [0, 1]


def test_different_handwritten_digits_are_never_alike():
    data = idx.load(idx.Options()).train
    ones = data.images[data.labels == 1]
    assert (groups(ones) == np.arange(len(ones))).all()


def test_many_alike_images_are_compared_with_few_others_each(monkeypatch):
    compared = []
    from pipeline.data import perceptual_hash

    confirm = perceptual_hash.confirmed

    def counting(thumbs, pairs, similarity):
        compared.append(len(pairs))
        return confirm(thumbs, pairs, similarity)

    monkeypatch.setattr(perceptual_hash, "confirmed", counting)
    generator = np.random.default_rng(0)
    images = np.repeat(generator.integers(0, 250, (1, 16, 16, 1), np.uint8), 5000, axis=0)
    images[np.arange(5000), 0, 0, 0] = np.arange(5000) % 5
    assert not groups(images).any()
    assert sum(compared) <= 4 * len(images)  # of 12.5 million pairs
