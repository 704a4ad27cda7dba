"""What of a TFLite file would reach beyond it, by its FlatBuffer; no runtime is asked."""

from collections.abc import Iterator
from pathlib import Path

from export.tflite.flatbuffer import is_custom, kind, parse, text
from pipeline.core.content import kind_of_bytes

IDENTIFIER = b"TFL3"


def reach(path: Path) -> Iterator[str]:
    """Each ends a sentence on the file."""
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        yield f"is {kind_of_bytes(content) or 'no TFLite file'}"
        return
    try:
        model = parse(content)
        for group in model.externalBufferGroups or ():
            yield f"keeps weights in another file ({text(group.name)!r})"
        for operator in (step for graph in model.subgraphs for step in graph.operators):
            if is_custom(model, operator):
                yield f"has the operator {kind(model, operator)}, which is not LiteRT's own"
    except Exception as error:  # the reader looks where damaged bytes send it
        yield f"is no whole TFLite file ({type(error).__name__}: {error})"
