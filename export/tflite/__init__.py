"""TFLite files as FlatBuffers: read, completed, packed, and run tensor by tensor."""
