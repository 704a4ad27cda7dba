"""TensorFlow's SavedModel."""
