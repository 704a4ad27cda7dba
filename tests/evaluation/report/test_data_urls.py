import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation.report.data_urls import image_url


def decode(url):
    head, _, body = url.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_small_image_keeps_every_pixel(channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    assert np.array_equal(np.asarray(decode(image_url(image))).reshape(image.shape), image)


def test_a_large_image_is_made_smaller_in_proportion():
    assert decode(image_url(np.zeros((640, 320, 3), np.uint8))).size == (80, 160)
