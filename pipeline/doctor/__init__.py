"""What `doctor` looks at, one file a subject; nothing here imports a heavy library."""
