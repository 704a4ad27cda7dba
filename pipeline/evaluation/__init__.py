"""Figures and the report that shows them."""
