"""Why something does not pass in a format, where the reason lies outside of this project."""

# By rows, then formats: what is not there, or why.
REASONS: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {}


def outside(name: str) -> dict[str, str]:
    """By format; empty if it passes in all."""
    return {
        format_name: why
        for names, by_formats in REASONS.items()
        if name in names
        for formats, why in by_formats.items()
        for format_name in formats
    }
