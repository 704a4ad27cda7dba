"""Exporters: a folder a family of formats.

Each has `FORMATS: tuple[Format, ...]` and these functions, all of which import their libraries when
they are called:

- `write(request: ExportRequest) -> None` converts the trained model;
- `inspect(format_name, path) -> Interface` reads back what the file takes and gives;
- `facts(format_name, path) -> Facts` reads all that the file holds, for the audit;
- `read_contract(path) -> str` reads the contract that the file carries;
- `runs_from(path) -> str | None`, where files say so, reads the first release that runs them;
- `load(format_name, path, threads) -> Predictor` loads it in the runtime of its users.
"""
