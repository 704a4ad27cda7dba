"""Exporters: one file a family of formats.

Each has `FORMATS: tuple[Format, ...]` and three functions, all of which import their libraries
when they are called:

- `write(request: ExportRequest) -> None` converts the trained model;
- `inspect(format_name, path) -> Interface` reads back what the file takes and gives;
- `load(format_name, path, threads) -> Predictor` loads it in the runtime of its users.
"""
