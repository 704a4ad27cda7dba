"""Which version of each operator a TFLite file needs, and which release knows it."""
