"""Several processes, on other machines too, that try the trials of one search."""
