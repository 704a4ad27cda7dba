"""What holds for every format: its contract, its files, what they are held to."""
