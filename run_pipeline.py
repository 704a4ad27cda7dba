"""The orchestrator: `python run_pipeline.py --help` shows what it can do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pipeline.cli import main

if __name__ == "__main__":
    main()
