"""Brings a picture of ink on an even ground to what a model was trained on: `docs/preparation.md`.

It needs NumPy alone, computes in whole numbers but for two comparisons, and is copied as it is into
the example for Python. JavaScript, Kotlin and C give the same pixels.
"""

from typing import Literal, NamedTuple

import numpy as np

WORK = 128  # pixels of the longer side, at most, on which anything is looked for
LEAST = 32  # pixels of the longer side, at least
SPARSE = 64  # pixels of the longer side from which on a subject may be small in its picture
EDGE = 16  # this part of the longer side may show a table beneath the paper
LOW, HIGH = 40, 98  # per cent of a prepared image's pixels below what becomes 0 and 255
FAINT = 16  # grey levels, at least, that are stretched to 255


class Layout(NamedTuple):
    """How subjects lie in the training images.

    Attributes:
        height: of an image, in pixels.
        width: of it.
        box: pixels of a subject's longer side.
        centre: what of a subject lies at `middle`: its centre of `mass`, or that of its `box`.
        middle: twice the pixels from the top and from the left.
        is_light: whether ink is lighter than its ground.
    """

    height: int
    width: int
    box: int
    centre: Literal["mass", "box"]
    middle: tuple[int, int]
    is_light: bool = True


def prepare(
    grey: np.ndarray, layout: Layout, is_dark: bool | None = None
) -> tuple[np.ndarray, bool]:
    """Finds the subject, takes the ground away, and lays it out as training images are.

    Args:
        grey: uint8 (height, width).
        layout: of the training images.
        is_dark: whether the picture's ink is darker than its ground; None finds it out.

    Returns:
        uint8 (layout.height, layout.width), and whether the picture's ink is darker.
    """
    picture = _reduced(grey)
    found_dark, is_sparse = polarity(picture)
    is_dark = found_dark if is_dark is None else is_dark
    if is_dark != layout.is_light and _lies_as_trained(_ink(grey, is_dark), layout):
        return grey, is_dark
    is_small = is_sparse and max(picture.shape) >= SPARSE
    if is_small:
        far = above_ground(_ink(picture, is_dark), max(picture.shape) // 6)
        edge = max(picture.shape) // EDGE
        far[:edge] = far[-edge:] = 0
        far[:, :edge] = far[:, -edge:] = 0
        picture = _reduced(_closer(grey, find_subject(far, is_far=True)))
    ink = _ink(enlarged(picture), is_dark)
    ink = above_ground(ink, max(ink.shape) * (1 if is_small else 2) // 3)
    subject = find_subject(ink, is_far=False)
    if subject and not is_small and (subject.left == 0 or subject.right == ink.shape[1]):
        # Cut out by someone who knew where it is, with parts of its neighbours.
        subject, layout = _whole(ink), layout._replace(box=layout.box * 6 // 5)
    image = _laid_out(ink, subject, layout)
    return (image if layout.is_light else 255 - image), is_dark


def _lies_as_trained(ink: np.ndarray, layout: Layout) -> bool:
    """Whether light ink, of the size of the training images, has its size and its place already."""
    if ink.shape != (layout.height, layout.width):
        return False
    large = enlarged(ink)
    scale = large.shape[0] // ink.shape[0]
    subject = find_subject(above_ground(large, 2 * max(large.shape) // 3), is_far=False)
    if subject is None:
        return False
    longer = max(subject.bottom - subject.top, subject.right - subject.left)
    twice_y, twice_x = _twice_centre(subject, layout)
    off = abs(twice_y - scale * layout.middle[0]), abs(twice_x - scale * layout.middle[1])
    return abs(longer - scale * layout.box) <= 2 * scale and max(off) <= 3 * scale


def polarity(grey: np.ndarray) -> tuple[bool, bool]:
    """Whether the ink is darker than its ground, and whether there is little of it.

    Ink is what is rare. Where little of it lies on much ground, grey levels about their local mean
    are skewed to its side; where a subject fills its picture, the ground is what most pixels, and
    most of the outermost, are.
    """
    size = max(3, max(grey.shape) // 4 | 1)
    about = grey.astype(np.int64) - _local_mean(grey, size)
    if max(grey.shape) >= SPARSE:
        edge = max(grey.shape) // EDGE
        about = about[edge:-edge, edge:-edge]
    square, cube = float((about**2).sum()), float((about**3).sum())
    if square and cube * cube * about.size >= square * square * square:
        return cube < 0, True
    is_light = grey > _otsu(grey)
    ring = np.concatenate((is_light[0], is_light[-1], is_light[1:-1, 0], is_light[1:-1, -1]))
    return bool(is_light.sum() * ring.size + ring.sum() * grey.size > grey.size * ring.size), False


class Subject(NamedTuple):
    """Where a subject is: its box in pixels, the far ends outside, and twice its centre of mass."""

    top: int
    bottom: int
    left: int
    right: int
    twice_y: int
    twice_x: int


def find_subject(ink: np.ndarray, *, is_far: bool) -> Subject | None:
    """The heaviest strokes, rather in the middle than at an edge, and those above and below."""
    height, width = ink.shape
    smooth = _local_mean(ink, 3) if max(ink.shape) >= 48 else ink
    level = max(_otsu(smooth), 2 * int(smooth.max()) // 5 if is_far else 0)
    rows, starts, ends = _runs(smooth > level)
    if not rows.size:
        return None
    strokes = _strokes(rows, starts, ends)
    tops, lefts = np.full(strokes.max() + 1, height), np.full(strokes.max() + 1, width)
    bottoms, rights = np.zeros_like(tops), np.zeros_like(tops)
    np.minimum.at(tops, strokes, rows)
    np.maximum.at(bottoms, strokes, rows + 1)
    np.minimum.at(lefts, strokes, starts)
    np.maximum.at(rights, strokes, ends)
    run_mass = _between(ink, rows, starts, ends)
    mass = np.bincount(strokes, run_mass)
    moment_y = np.bincount(strokes, run_mass * (2 * rows + 1))
    odd = 2 * np.arange(width) + 1
    moment_x = np.bincount(strokes, _between(ink * odd, rows, starts, ends))
    some = np.maximum(mass, 1)
    off_y, off_x = moment_y / some / height - 1, moment_x / some / width - 1
    touches = (tops == 0) | (lefts == 0) | (bottoms == height) | (rights == width)
    score = mass * (4 - off_y * off_y - off_x * off_x) * np.where(touches, 1, 2)
    main = int(score.argmax())
    shared = np.minimum(rights, rights[main]) - np.maximum(lefts, lefts[main])
    gap = np.maximum(tops - bottoms[main], tops[main] - bottoms)
    belongs = (2 * shared >= rights - lefts) & (5 * gap <= bottoms[main] - tops[main])
    belongs &= 50 * mass >= mass[main]
    belongs[main] = True
    total = max(1, int(mass[belongs].sum()))
    return Subject(
        int(tops[belongs].min()),
        int(bottoms[belongs].max()),
        int(lefts[belongs].min()),
        int(rights[belongs].max()),
        int(moment_y[belongs].sum()) // total,
        int(moment_x[belongs].sum()) // total,
    )


def _whole(ink: np.ndarray) -> Subject:
    height, width = ink.shape
    return Subject(0, height, 0, width, height, width)


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows, beginnings and ends of all that lies unbroken in a row, row by row."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    return rows, starts, np.nonzero(edges == -1)[1]


def _strokes(rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Numbers from 0 on for runs: the same for those that touch, also at their corners."""
    root = list(range(rows.size))

    def find(run: int) -> int:
        while root[run] != run:
            root[run] = run = root[root[run]]
        return run

    above = 0
    row, start, end = rows.tolist(), starts.tolist(), ends.tolist()
    for run in range(len(row)):
        while row[above] < row[run] - 1 or (row[above] == row[run] - 1 and end[above] < start[run]):
            above += 1
        other = above
        while row[other] == row[run] - 1 and start[other] <= end[run]:
            first, last = sorted((find(other), find(run)))
            root[last] = first
            other += 1
    return np.unique([find(run) for run in range(len(row))], return_inverse=True)[1]


def _between(
    values: np.ndarray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """The sum of the values in each run."""
    sums = np.pad(values.astype(np.int64).cumsum(1), ((0, 0), (1, 0)))
    return sums[rows, ends] - sums[rows, starts]


def _closer(grey: np.ndarray, subject: Subject | None) -> np.ndarray:
    """The part of a picture around what was found in it when it was reduced."""
    if subject is None:
        return grey
    longer = max(subject.bottom - subject.top, subject.right - subject.left)
    margin, (rows, columns) = max(4, 3 * longer // 8), _block(grey)
    top, left = max(0, subject.top - margin), max(0, subject.left - margin)
    return grey[
        top * rows : (subject.bottom + margin) * rows,
        left * columns : (subject.right + margin) * columns,
    ]


def _laid_out(ink: np.ndarray, subject: Subject | None, layout: Layout) -> np.ndarray:
    """Scales the subject to its box, its centre of mass to the middle; stretches the contrast."""
    if subject is None:
        return np.zeros((layout.height, layout.width), np.uint8)
    longer = max(subject.bottom - subject.top, subject.right - subject.left)
    height = max(1, (2 * longer * layout.height + layout.box) // (2 * layout.box))
    width = max(1, (2 * longer * layout.width + layout.box) // (2 * layout.box))
    twice_y, twice_x = _twice_centre(subject, layout)
    top = (twice_y - layout.middle[0] * height // layout.height) // 2
    left = (twice_x - layout.middle[1] * width // layout.width) // 2
    inside = ink[max(top, 0) : top + height, max(left, 0) : left + width]
    frame = np.full((height, width), _ranked(inside, LOW))
    y, x = max(-top, 0), max(-left, 0)
    frame[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    image = _averaged(frame, layout.height, layout.width)
    low, high = _ranked(image, LOW), _ranked(image, HIGH)
    return np.clip((image - low) * 255 // max(FAINT, high - low), 0, 255).astype(np.uint8)


def _twice_centre(subject: Subject, layout: Layout) -> tuple[int, int]:
    if layout.centre == "mass":
        return subject.twice_y, subject.twice_x
    return subject.top + subject.bottom, subject.left + subject.right


def _ranked(values: np.ndarray, percent: int) -> int:
    """The value below which so many per cent of them lie."""
    return int(np.sort(values, axis=None)[values.size * percent // 100])


def _ink(grey: np.ndarray, is_dark: bool) -> np.ndarray:
    return 255 - grey if is_dark else grey


def above_ground(ink: np.ndarray, window: int) -> np.ndarray:
    """What stands out: ink less its opening by the largest square window that fits."""
    ground = ink.astype(np.int64)
    for axis in (0, 1):
        ground = _least(ground, min(window, ink.shape[axis]), axis)
    for axis in (0, 1):
        size = min(window, ink.shape[axis]) - 1
        around = [(size, size) if at == axis else (0, 0) for at in (0, 1)]
        ground = -_least(-np.pad(ground, around, constant_values=-1), size + 1, axis)
    return ink - ground


def _least(values: np.ndarray, window: int, axis: int) -> np.ndarray:
    """The least of each `window` neighbours along an axis; windows lie within."""
    values, done = values.swapaxes(0, axis), 1
    while done < window:
        step = min(done, window - done)
        values, done = np.minimum(values[:-step], values[step:]), done + step
    return values.swapaxes(0, axis)


def _local_mean(values: np.ndarray, size: int) -> np.ndarray:
    """The mean of the square of `size` pixels around each, as far as it lies within; rounded."""
    height, width = values.shape
    sums = np.pad(values.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    y, x = np.arange(height), np.arange(width)
    top, bottom = np.maximum(y - size // 2, 0), np.minimum(y + size // 2 + 1, height)
    left, right = np.maximum(x - size // 2, 0), np.minimum(x + size // 2 + 1, width)
    rows = sums[bottom] - sums[top]
    count = (bottom - top)[:, None] * (right - left)
    return (2 * (rows[:, right] - rows[:, left]) + count) // (2 * count)


def _otsu(values: np.ndarray) -> int:
    """The level that parts dark from light pixels best (Otsu 1979): those above it are light."""
    count = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below, sums = count.cumsum(), (count * np.arange(count.size)).cumsum()
    above = below[-1] - below
    apart = sums[-1] * below - sums * below[-1]
    return int((apart * apart / np.maximum(below * above, 1)).argmax())


def _reduced(grey: np.ndarray) -> np.ndarray:
    """Means of square blocks, so that the longer side is no longer than WORK; whole blocks only."""
    rows, columns = _block(grey)
    height, width = grey.shape[0] // rows, grey.shape[1] // columns
    blocks = grey[: height * rows, : width * columns].reshape(height, rows, width, columns)
    sums, count = blocks.sum(axis=(1, 3), dtype=np.int64), rows * columns
    return ((2 * sums + count) // (2 * count)).astype(np.uint8)


def _block(grey: np.ndarray) -> tuple[int, int]:
    factor = -(-max(grey.shape) // WORK)
    return min(factor, grey.shape[0]), min(factor, grey.shape[1])


def enlarged(grey: np.ndarray) -> np.ndarray:
    """Bilinear by a whole factor, so that the longer side is no shorter than LEAST."""
    factor = -(-LEAST // max(grey.shape))
    if factor == 1:
        return grey
    values = grey.astype(np.int64)
    for axis in (0, 1):
        size = values.shape[axis]
        place = 2 * np.arange(size * factor) + 1 - factor
        first = place // (2 * factor)
        rest = (place - 2 * factor * first).reshape((-1, 1) if axis == 0 else (1, -1))
        before = values.take(np.maximum(first, 0), axis)
        after = values.take(np.minimum(first + 1, size - 1), axis)
        values = before * (2 * factor - rest) + after * rest
    return ((values + 2 * factor * factor) // (4 * factor * factor)).astype(np.uint8)


def _averaged(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales by averaging over the area that each pixel comes from; rounded."""
    down, across = _shares(frame.shape[0], height), _shares(frame.shape[1], width)
    return (2 * (down @ frame @ across.T) + frame.size) // (2 * frame.size)


def _shares(size: int, to: int) -> np.ndarray:
    """How much of each of `size` pixels lies in each of `to`; each row has the sum `size`."""
    passed = np.arange(size + 1) * to - np.arange(to)[:, None] * size
    return np.diff(passed.clip(0, size), axis=1)
