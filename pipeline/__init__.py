"""Evenkeel: from labelled images to exported models that proved their answers."""
