"""The server behind `run_pipeline.py demo`: the browser runtime of an export artifact, live."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from pipeline.core.errors import ConfigError, StageError

HOST = "127.0.0.1"
PAGE = "/runtimes/web/"
MODULES = f"{PAGE}node_modules/"
GOLDEN = "/golden/"
PACKAGES = ("package.json", "package-lock.json")
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
TIMEOUT_SECONDS = 600
# Some systems' tables lack these, or say text/plain, which browsers refuse for modules.
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".tflite": "application/octet-stream",
}


def install(runtime_folder: Path, cache: Path) -> Path:
    """Installs the npm packages of a runtime, or finds them where an earlier call put them.

    Args:
        runtime_folder: holds `package.json` and `package-lock.json`.
        cache: folder for installed packages of any version.

    Returns:
        The `node_modules` folder.

    Raises:
        ConfigError: there is no npm, or no such runtime.
        StageError: npm failed.
    """
    try:
        lock = (runtime_folder / "package-lock.json").read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{runtime_folder}: has no package-lock.json; export it again with run --force export"
        ) from None
    name = f"{runtime_folder.name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    modules = cache / name / "node_modules"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{name}.lock"):
        if not modules.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                fresh = Path(scratch) / name
                _npm_ci(runtime_folder, fresh)
                fresh.rename(cache / name)
    return modules


def _npm_ci(runtime_folder: Path, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(
            f"{runtime_folder}: its packages cannot be installed, for there is no npm on PATH; "
            "install Node.js 20 or later, which brings it"
        )
    folder.mkdir()
    for file in PACKAGES:
        shutil.copy(runtime_folder / file, folder)
    try:
        done = subprocess.run(
            [npm, *NPM_CI], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise StageError(_failure(runtime_folder, f"took over {TIMEOUT_SECONDS} s")) from None
    if done.returncode:
        raise StageError(_failure(runtime_folder, f"failed: {_cause(done.stderr)}"))


def _failure(runtime_folder: Path, what: str) -> str:
    return (
        f"{runtime_folder}: npm {' '.join(NPM_CI)} {what}. "
        "It needs the npm registry once; check the connection and try again"
    )


def _cause(stderr: str) -> str:
    """What npm says went wrong; its last lines only say where the log is."""
    lines = [line.removeprefix("npm error").strip() for line in stderr.splitlines()]
    told = [line for line in lines if line and not line.startswith(("npm warn", "A complete log"))]
    return "; ".join(told[:3]) or "it said nothing"


def serve(
    export_folder: Path,
    golden_folder: Path | None,
    modules: Path,
    port: int,
    on_ready: Callable[[str], None],
) -> None:
    """Serves the page until interrupted.

    Args:
        export_folder: an export artifact.
        golden_folder: the golden vectors of the same run, for the page's self-check.
        modules: what `install` gave for `runtimes/web`.
        port: 0 takes any that is free.
        on_ready: gets the address of the page.

    Raises:
        ConfigError: the artifact has no page, or the port is taken.
    """
    with open_server(export_folder, golden_folder, modules, port) as server:
        on_ready(f"http://{HOST}:{server.server_address[1]}{PAGE}")
        server.serve_forever()


def open_server(
    export_folder: Path, golden_folder: Path | None, modules: Path, port: int
) -> ThreadingHTTPServer:
    """Binds the port; see `serve`."""
    if not (export_folder / PAGE.strip("/") / "index.html").exists():
        raise ConfigError(
            f"{export_folder}: has no {PAGE.strip('/')}/index.html; export it again with "
            "run --force export"
        )
    # The longest prefix first: one lies inside the other.
    places = {MODULES: modules, "/": export_folder}
    if golden_folder:
        places = {GOLDEN: golden_folder, **places}
    handler = type("Handler", (_Handler,), {"places": {p: f.resolve() for p, f in places.items()}})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ConfigError(
            f"--port {port}: cannot listen there ({error.strerror}); choose another, or 0 for any"
        ) from error


class _Handler(SimpleHTTPRequestHandler):
    """Serves files of several folders, by the beginning of the path, and nothing outside of them.

    Attributes:
        places: resolved folder by the beginning of the path.
    """

    places: dict[str, Path]
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}  # noqa: RUF012

    def send_head(self) -> BytesIO | Any:
        if urlsplit(self.path).path == "/":
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", PAGE)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return super().send_head()

    def translate_path(self, path: str) -> str:
        """Gives a path that does not exist for one that leads out of its folder."""
        wanted = unquote(urlsplit(path).path)
        prefix = next((p for p in self.places if wanted.startswith(p)), "/")
        folder = self.places[prefix]
        with suppress(OSError, ValueError):
            file = (folder / wanted.removeprefix(prefix).lstrip("/")).resolve()
            if file.is_relative_to(folder):
                return f"{file}/" if wanted.endswith("/") else str(file)
        return str(folder / "outside" / "nothing")

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # another run may serve other files here
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the terminal quiet; the browser shows what fails."""
