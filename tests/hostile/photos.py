"""Folders of small good pictures, for what is hostile to lie among them."""

import json

from PIL import Image

from tests.data.images.picture_files import noise

COUNT = 8
PICTURE = Image.fromarray(noise(12, 12))


def put(folder, *places, count=COUNT, start=0):
    """Writes `count` different pictures into each of some folders."""
    for place in places:
        (folder / place).mkdir(parents=True, exist_ok=True)
        seeds = range(start, start + count)
        for seed in seeds:
            Image.fromarray(noise(12, 12, seed=seed)).save(folder / place / f"{seed}.png")
        start += count


def option(name, value):
    """What is typed to set one option of `data`."""
    return f"data.{name}={json.dumps(value, ensure_ascii=False)}"


def from_folder(folder, *options):
    return ["data.source=image_folder", option("folder", str(folder)), *options]
