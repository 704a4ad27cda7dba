"""Picture files: what their bytes say, and the pixels that they become."""
