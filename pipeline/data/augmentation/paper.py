"""Makes training images look like handwriting on paper.

Of the images that are chosen, strokes grow or shrink, parts of other writing and ruled lines come
in, strokes fade, ink gets a tone and the paper a pattern. Then the contrast of every image is
stretched, as that of pictures is (`pipeline/data/images/ink.py`).

Ink is float32 (batch, height, width, channels), 0 for none and 1 for all; what is drawn is alike
in all channels. Lengths were found on MNIST's 28 pixels, and count as shares of the shorter side.
"""

import math
from collections.abc import Iterator
from itertools import islice

import tensorflow as tf

from pipeline.config.augmentation import PaperSection
from pipeline.data.augmentation.random import Purpose, of_each, uniform
from pipeline.data.images.ink import FAINT, HIGH, LOW

STRAY_PLACE, STRAY_LENGTH, STRAY_WIDTH = (1 / 7, 6 / 7), (3 / 28, 10 / 28), (0.8 / 28, 2.4 / 28)
LINE_WIDTH, LINE_SLOPE, LINE_TONE, LEVEL_LINES = (0.6 / 28, 2.6 / 28), 0.12, (0.25, 1.0), 0.65
NEIGHBOUR_AWAY, NEIGHBOUR_ASIDE, NEIGHBOUR_TONE = (14 / 28, 24 / 28), 6 / 28, (0.6, 1.0)
TONE_POWER, TONE, FADING_LEFT, SHADED, PRINTED = 0.5, (0.7, 1.0), 1.6, 0.5, 0.25
PATCHES = (7, 3, 9)
"""Knots from side to side of fading, shading and mottle."""
DRAWS = 39
"""Random numbers for each image: whether it is chosen, and all that may come to it."""
WAVES = (0.4 * 28, 2.2 * 28)
"""Radians from side to side."""


def put_on_paper(images: tf.Tensor, section: PaperSection, seed: tf.Tensor) -> tf.Tensor:
    """Changes the images that are chosen at random.

    Args:
        images: float32 (batch, height, width, channels), 0..255.
        section: how many, and what may come to them.
        seed: int64 (2,).
    """
    # Drawn at once, for every draw is a hundred nodes of the graph.
    count = tf.shape(images)[0]
    draws = iter(tf.unstack(uniform(seed, Purpose.PAPER, (DRAWS, count))))
    knots = [patches**2 for patches in PATCHES]
    fields = tf.split(uniform(seed, Purpose.PAPER_PATCHES, (count, sum(knots))), knots, axis=1)
    fading, shading, mottle = (
        between_knots(tf.reshape(field, (-1, patches, patches)), images.shape[1:3])
        for field, patches in zip(fields, PATCHES, strict=True)
    )
    chosen = next(draws) < section.probability
    ink = _turned(images, section) / 255.0
    ink = stroke_widths(ink, next(draws), section.stroke_width)
    ink = tf.maximum(ink, _stray_strokes(ink, section, draws))
    ink = _beside_others(ink, section, draws)
    ink = tf.maximum(ink, _ruled_lines(ink, section, draws))
    lost = 1.0 - tf.minimum(FADING_LEFT * fading, 1.0)
    ink *= 1.0 - lost * _happens(next(draws), section.fading_probability)
    ink = _toned(ink, draws)
    ink += (1.0 - ink) * _ground(shading, mottle, section, draws)
    return tf.where(of_each(chosen), _turned(255.0 * ink, section), images)


def stretch(images: tf.Tensor, section: PaperSection) -> tf.Tensor:
    """What lies at the ranks LOW and HIGH of an image's values becomes 0 and 255.

    Args:
        images: float32 (batch, height, width, channels), 0..255.
        section: says which end of the grey levels is ink.
    """
    ink = _turned(images, section)
    size = math.prod(images.shape[1:])
    values = tf.reshape(ink, (-1, size))
    low, high = (
        of_each(tf.raw_ops.NthElement(input=values, n=size * rank // 100)) for rank in (LOW, HIGH)
    )
    stretched = (ink - low) * 255.0 / tf.maximum(float(FAINT), high - low)
    return _turned(tf.clip_by_value(stretched, 0.0, 255.0), section)


def stroke_widths(ink: tf.Tensor, share: tf.Tensor, most: float) -> tf.Tensor:
    """Strokes grow a pixel on each side, or lose one pixel, by a part of such a change.

    Args:
        ink: as it is.
        share: of `most`: 0 to shrink by all of it, 0.5 to stay, 1 to grow: float32 (batch,).
        most: the greatest part, 0..1.
    """
    if not most:
        return ink
    up = tf.nn.max_pool2d(ink, (3, 1), 1, "SAME")
    square = tf.nn.max_pool2d(up, (1, 3), 1, "SAME")
    cross = tf.maximum(up, tf.nn.max_pool2d(ink, (1, 3), 1, "SAME"))
    grown = 0.6 * square + 0.4 * cross  # nearly round
    shrunk = -tf.nn.max_pool2d(-ink, 2, 1, "SAME")
    part = of_each(most * (2.0 * share - 1.0))
    return ink + tf.maximum(part, 0.0) * (grown - ink) - tf.maximum(-part, 0.0) * (ink - shrunk)


def segments(
    size: tuple[int, int],
    middle: tuple[tf.Tensor, tf.Tensor],
    angle: tf.Tensor,
    length: tf.Tensor,
    width: tf.Tensor,
) -> tf.Tensor:
    """A straight stroke with round ends: float32 (batch, height, width, 1), 0..1.

    Args:
        size: height and width in pixels.
        middle: pixels from the top and from the left, float32 (batch,) each.
        angle: radians from the horizontal, clockwise to the eye: float32 (batch,).
        length: pixels between the middles of its ends: float32 (batch,).
        width: pixels: float32 (batch,).
    """
    y, x = _pixels(size)
    y, x = y - of_each(middle[0]), x - of_each(middle[1])
    cos, sin, half = of_each(tf.cos(angle)), of_each(tf.sin(angle)), of_each(length / 2.0)
    along = tf.clip_by_value(x * cos + y * sin, -half, half)
    distance = tf.sqrt((x - along * cos) ** 2 + (y - along * sin) ** 2)
    return tf.clip_by_value(of_each(width / 2.0) + 0.5 - distance, 0.0, 1.0)


def _stray_strokes(ink: tf.Tensor, section: PaperSection, draws: Iterator[tf.Tensor]) -> tf.Tensor:
    """A short stroke somewhere."""
    height, width = ink.shape[1:3]
    chance, y, x, turn, length, thick = islice(draws, 6)
    stroke = segments(
        (height, width),
        (height * _within(y, STRAY_PLACE), width * _within(x, STRAY_PLACE)),
        math.pi * turn,
        min(height, width) * _within(length, STRAY_LENGTH),
        min(height, width) * _within(thick, STRAY_WIDTH),
    )
    return stroke * _happens(chance, section.stray_probability)


def _ruled_lines(ink: tf.Tensor, section: PaperSection, draws: Iterator[tf.Tensor]) -> tf.Tensor:
    """A line from side to side, or from top to bottom."""
    height, width = ink.shape[1:3]
    chance, kind, place, slope, thick, tone = islice(draws, 6)
    is_level = kind < LEVEL_LINES
    line = segments(
        (height, width),
        (
            height * tf.where(is_level, place, 0.5),
            width * tf.where(is_level, 0.5, place),
        ),
        tf.where(is_level, 0.0, math.pi / 2) + _within(slope, (-LINE_SLOPE, LINE_SLOPE)),
        tf.fill([tf.shape(ink)[0]], 3.0 * (height + width)),
        min(height, width) * _within(thick, LINE_WIDTH),
    )
    return line * of_each(_within(tone, LINE_TONE)) * _happens(chance, section.line_probability)


def _beside_others(ink: tf.Tensor, section: PaperSection, draws: Iterator[tf.Tensor]) -> tf.Tensor:
    """Parts of the batch's next images at the left, at the right, and above or below.

    The last image has the first as its next; in a batch of one, an image is beside itself.
    """
    count, found = tf.shape(ink, tf.int64)[0], ink
    up_or_down = tf.where(next(draws) < 0.5, -1.0, 1.0)
    for number, side in enumerate((-1.0, 1.0, up_or_down), start=1):
        chance, away, aside, tone = islice(draws, 4)
        far = side * _within(away, NEIGHBOUR_AWAY)
        near = _within(aside, (-NEIGHBOUR_ASIDE, NEIGHBOUR_ASIDE))
        y, x, likely = (far, near, 0.5) if number == 3 else (near, far, 1.0)
        rows = tf.where(chance < section.neighbour_probability * likely)[:, 0]
        y, x, tone = (tf.gather(values, rows) for values in (y, x, tone))
        other = tf.gather(ink, (rows + number) % count)
        other = shifted(other, y * ink.shape[1], x * ink.shape[2])
        other *= of_each(_within(tone, NEIGHBOUR_TONE))
        found = tf.tensor_scatter_nd_max(found, rows[:, None], other)
    return found


def shifted(ink: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Moves each image by pixels, float32 (batch,), bilinear; from beyond its edge comes no ink."""
    one, none = tf.ones_like(down), tf.zeros_like(down)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=ink,
        transforms=tf.stack([one, none, -right, none, one, -down, none, none], axis=1),
        output_shape=ink.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def _toned(ink: tf.Tensor, draws: Iterator[tf.Tensor]) -> tf.Tensor:
    """Half tones become darker or lighter, and then all ink fainter."""
    power, tone = islice(draws, 2)
    power = tf.exp(_within(power, (-TONE_POWER, TONE_POWER)))
    return ink ** of_each(power) * of_each(_within(tone, TONE))


def _ground(
    shading: tf.Tensor, mottle: tf.Tensor, section: PaperSection, draws: Iterator[tf.Tensor]
) -> tf.Tensor:
    """The paper: shading, mottle and printed waves, each on some images."""
    direction, number, phase = (of_each(draw) for draw in islice(draws, 3))
    size = shading.shape[1:3]
    y, x = _pixels(size)
    across = (tf.cos(math.pi * direction) * x + tf.sin(math.pi * direction) * y) / min(size)
    waves = 0.5 + 0.5 * tf.sin(_within(number, WAVES) * across + 2.0 * math.pi * phase)
    parts = ((shading, SHADED), (mottle, SHADED), (waves, PRINTED))
    ground = tf.add_n(
        [
            part * of_each(next(draws)) * _happens(next(draws), probability)
            for part, probability in parts
        ]
    )
    return tf.minimum(section.ground_contrast * ground, 1.0)


def between_knots(knots: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Spreads values from edge to edge of an image, and goes smoothly from one to the next.

    Args:
        knots: float32 (batch, rows, columns).
        size: height and width in pixels.

    Returns:
        float32 (batch, height, width, 1), within the range of the knots.
    """
    down, across = (_weights(*pair) for pair in zip(size, knots.shape[1:], strict=True))
    return tf.matmul(tf.matmul(down, knots), across, transpose_b=True)[..., None]


def _weights(size: int, count: int) -> tf.Tensor:
    """How much each knot counts at each pixel: float32 (size, count), each row of sum 1."""
    place = tf.linspace(0.0, count - 1.0, size)[:, None]
    distance = tf.abs(place - tf.range(count, dtype=tf.float32))
    return 0.5 + 0.5 * tf.cos(math.pi * tf.minimum(distance, 1.0))


def _within(share: tf.Tensor, ends: tuple[float, float]) -> tf.Tensor:
    return ends[0] + (ends[1] - ends[0]) * share


def _happens(chance: tf.Tensor, probability: float) -> tf.Tensor:
    """1 for images to which something of this probability comes, 0 for others."""
    return of_each(tf.cast(chance < probability, tf.float32))


def _pixels(size: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """How far pixels are from the top and from the left, to stand beside images."""
    height, width = size
    y, x = tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32)
    return y[None, :, None, None], x[None, None, :, None]


def _turned(images: tf.Tensor, section: PaperSection) -> tf.Tensor:
    """Ink as what is light; and back."""
    return 255.0 - images if section.ground == "light" else images
