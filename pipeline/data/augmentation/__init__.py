"""Random changes of training images, and a picture of them."""
