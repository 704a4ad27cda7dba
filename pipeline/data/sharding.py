"""How many files a split is written to."""

import math

from pipeline.data.images.types import Split

SHARD_BYTES = 64 * 2**20


def count_shards(data: Split) -> int:
    """As many as keep each at about `SHARD_BYTES` of pixels at most."""
    return max(1, math.ceil(len(data) * math.prod(data.image_shape) / SHARD_BYTES))
