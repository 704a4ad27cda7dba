"""Presets: one file each, with an `Options` model and `build(options, shape, num_classes)`.

A preset takes pixels 0..255 in an input named `image`, normalises them itself, and ends in a
float32 softmax layer named `probabilities`.
"""
