"""The section `augmentation`: how training images are changed at random."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config.base import Fraction, Section

Probability = Annotated[float, Field(ge=0, le=1)]


def _check_area(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0 < ends[0] <= ends[1] <= 1:
        raise ValueError(f"{list(ends)} should be shares of the image, 0 < low <= high <= 1")
    return ends


class PaperSection(Section):
    """Makes images of ink look like handwriting on paper.

    Attributes:
        probability: share of the images that come to look like handwriting on paper; above 0,
            the contrast of all is stretched at the end.
        stroke_width: pixels, the most, that strokes gain on each side or lose on one.
        stray_probability: how likely there is a short stroke more.
        neighbour_probability: how likely parts of other images of the batch lie at the left, and
            at the right; half as likely above or below.
        line_probability: how likely a ruled line crosses it.
        fading_probability: how likely its strokes fade in places.
        ground_contrast: the most that shading, that mottle and that printed waves add to the
            ground, as a share of full ink.
        ground: what the ink of the training images lies on.
    """

    probability: Probability = 0.0
    stroke_width: Probability = 1.0
    stray_probability: Probability = 0.4
    neighbour_probability: Probability = 0.2
    line_probability: Probability = 0.2
    fading_probability: Probability = 0.25
    ground_contrast: Probability = 0.2
    ground: Literal["dark", "light"] = "dark"


class AugmentationSection(Section):
    """Random changes of each training image; 0 turns a change off.

    Attributes:
        rotation_degrees: the most an image is turned, either way.
        shift_fraction: the most it is moved, as a share of its height and width.
        zoom_fraction: the most it grows or shrinks, as a share of its size.
        shear_fraction: the most it slants: pixels to the side for each pixel of height.
        fill_mode: what lies beyond an image's edge.
        fill_value: the grey level beyond the edge, with `fill_mode: constant`.
        horizontal_flip_probability: how likely left and right change places.
        vertical_flip_probability: how likely top and bottom change places.
        elastic_alpha: pixels by which smoothed noise of -1..1 displaces each pixel.
        elastic_sigma: pixels over which that noise is smoothed.
        invert_probability: how likely an image becomes its negative.
        contrast_fraction: how much further from, or nearer to, their mean values may lie.
        brightness_fraction: share of 255 that may be added or taken away.
        blur_sigma: pixels, the most; each image draws its own.
        noise_stddev: grey levels, the most; each image draws its own.
        paper: makes images of ink look like handwriting on paper.
        erasing_probability: how likely a rectangle of an image is hidden.
        erasing_area: smallest and largest share of an image that a rectangle hides.
        erasing_fill: `noise` hides behind random pixels, `constant` behind `fill_value`.
        mixup_alpha: blends each image with another of its batch, and their labels alike, by a
            share drawn from Beta(alpha, alpha): 0.2 leaves most images nearly as they are, 1 makes
            every share as likely.
        cutmix_alpha: pastes a rectangle of another image instead; its share of the area is drawn
            so, and labels mix by what of it lies within the image.
        mixing_probability: share of the images to which either happens.
        cutmix_share: where both are on, the share of those that get a rectangle.
    """

    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift_fraction: Fraction = 0.0
    zoom_fraction: Fraction = 0.0
    shear_fraction: Fraction = 0.0
    fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "constant"
    fill_value: Annotated[float, Field(ge=0, le=255)] = 0.0
    horizontal_flip_probability: Probability = 0.0
    vertical_flip_probability: Probability = 0.0
    elastic_alpha: Annotated[float, Field(ge=0, le=1000)] = 0.0
    elastic_sigma: Annotated[float, Field(ge=1, le=100)] = 4.0
    invert_probability: Probability = 0.0
    contrast_fraction: Fraction = 0.0
    brightness_fraction: Fraction = 0.0
    blur_sigma: Annotated[float, Field(ge=0, le=100)] = 0.0
    noise_stddev: Annotated[float, Field(ge=0, le=255)] = 0.0
    paper: PaperSection = PaperSection()
    erasing_probability: Probability = 0.0
    erasing_area: Annotated[tuple[float, float], AfterValidator(_check_area)] = (0.02, 0.4)
    erasing_fill: Literal["noise", "constant"] = "noise"
    mixup_alpha: Annotated[float, Field(ge=0, le=100)] = 0.0
    cutmix_alpha: Annotated[float, Field(ge=0, le=100)] = 0.0
    mixing_probability: Probability = 1.0
    cutmix_share: Probability = 0.5

    @property
    def is_enabled(self) -> bool:
        likely = self.paper.probability > 0 or self.erasing_probability > 0
        return likely or self.moves_pixels or self.changes_values or self.mixes_images

    @property
    def mixes_images(self) -> bool:
        return self.mixing_probability > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)

    @property
    def cut_probability(self) -> float:
        """How likely an image that is mixed gets a rectangle, and is not blended."""
        if not self.mixup_alpha:
            return 1.0
        return self.cutmix_share if self.cutmix_alpha else 0.0

    @property
    def flips(self) -> bool:
        return self.horizontal_flip_probability > 0 or self.vertical_flip_probability > 0

    @property
    def moves_pixels(self) -> bool:
        affine = (
            self.rotation_degrees,
            self.shift_fraction,
            self.zoom_fraction,
            self.shear_fraction,
        )
        return any(affine) or self.flips or self.elastic_alpha > 0

    @property
    def changes_values(self) -> bool:
        return any(
            (
                self.invert_probability,
                self.contrast_fraction,
                self.brightness_fraction,
                self.blur_sigma,
                self.noise_stddev,
            )
        )
