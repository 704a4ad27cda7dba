"""Images on disk and on their way into training: shards, datasets, augmentation, cleaning."""
