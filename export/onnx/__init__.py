"""ONNX files: written from Keras models."""
