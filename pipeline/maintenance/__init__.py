"""Keeping the store in order: what is damaged, how it is mended, what nobody needs."""
