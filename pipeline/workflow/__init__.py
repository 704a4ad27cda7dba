"""Which stages there are, what decides their keys, and how a run carries them out."""
