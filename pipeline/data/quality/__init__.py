"""Checks of the images before any training: one small file for each family of them."""
