"""Made-up machines: installed distributions, and the files by which Linux tells of itself."""

import time
from pathlib import Path

import pytest


@pytest.fixture
def site(tmp_path):
    """Adds a distribution to a folder of libraries; `site.path` is its search path."""

    class Site:
        folder = tmp_path / "site-packages"
        path = (str(folder),)

        def add(self, name, version, *, owns=(), requires=()):
            made = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
            made.mkdir(parents=True)
            lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
            lines += [f"Requires-Dist: {text}" for text in requires]
            (made / "METADATA").write_text("\n".join(lines) + "\n")
            (made / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in owns))

    return Site()


@pytest.fixture
def machine(tmp_path):
    """Writes files below a folder that stands for `/`; gives the folder."""

    def make(files):
        root = tmp_path / "slash"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    return make


@pytest.fixture
def is_gone():
    """Says whether every process with these words in its command ends within some seconds."""

    def commands():
        for process in Path("/proc").glob("[0-9]*"):
            try:
                yield (process / "cmdline").read_text(errors="replace")
            except OSError:
                continue

    def look(words, seconds=5.0):
        deadline = time.monotonic() + seconds
        while any(words in command for command in commands()):
            if time.monotonic() > deadline:
                return False
        return True

    return look
