"""Training that computes as the int8 file will, with the weights of the float network."""
