"""The orchestrator: `python run_pipeline.py --help` shows what it can do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

try:
    from pipeline.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"error  {error.name} is not installed; run it as .venv/bin/python run_pipeline.py")

if __name__ == "__main__":
    main()
