"""Quantises TFLite models in 8 and 4 bits, and finds out what that costs, layer by layer."""
