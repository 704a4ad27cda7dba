"""Draws the test split that a source leaves to ingest, image by image."""

from dataclasses import replace

from pipeline.data.images.stratified import draw_test
from pipeline.data.images.types import DrawnTest


def with_test_drawn(data):
    if not isinstance(data.test, DrawnTest):
        return data
    kept, drawn = draw_test(data.train.labels, data.test.fraction, data.test.seed)
    return replace(data, train=data.train.select(kept), test=data.train.select(drawn))
