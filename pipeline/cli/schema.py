"""The command for editors: schema."""

import json

from pipeline.config.json_schema import json_schema


def schema() -> None:
    """Print the JSON schema by which editors complete a config's keys."""
    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))  # noqa: T201
