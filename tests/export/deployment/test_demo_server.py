import http.client
import json
import mimetypes
import re
import socket
import subprocess
import sys
import threading

import pytest

from export.deployment import demo_server
from pipeline.core.errors import ConfigError, StageError
from pipeline.core.plugins import ROOT

FAKE_NPM = """#!/bin/sh
echo "$@" >> "{calls}"
sleep {seconds}
test -f package.json && test -f package-lock.json && mkdir node_modules && exit {code}
"""


@pytest.fixture
def folders(tmp_path):
    export, golden, modules = tmp_path / "export", tmp_path / "golden", tmp_path / "modules"
    files = {
        export / "runtimes/web/index.html": "the page",
        export / "runtimes/web/app.js": "app",
        export / "runtimes/web/node_modules/own": "not from the cache",
        export / "model.onnx": "model",
        export / "model.tflite": "model",
        export / "contract.json": "{}",
        golden / "golden.json": "golden",
        modules / "pack/it.mjs": "module",
        modules / "pack/it.wasm": "wasm",
        tmp_path / "secret": "secret",
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (export / "out").symlink_to(tmp_path / "secret")
    return export, golden, modules


@pytest.fixture
def get(folders):
    """Asks for a path just as it is written; gives status, content type, and text or place."""
    with demo_server.open_server(*folders, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def ask(path, method="GET"):
            connection = http.client.HTTPConnection(*server.server_address, timeout=10)
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode()
            place, type_ = answer.headers["Location"], answer.headers["Content-Type"]
            connection.close()
            return answer.status, type_, place or text

        yield ask
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "type_", "text"),
    [
        ("/runtimes/web/", "text/html", "the page"),
        ("/runtimes/web/?golden=/golden/", "text/html", "the page"),
        ("/runtimes/web/app.js", "text/javascript", "app"),
        ("/runtimes/web/node_modules/pack/it.mjs", "text/javascript", "module"),
        ("/runtimes/web/node_modules/pack/it.wasm", "application/wasm", "wasm"),
        ("/model.onnx", "application/octet-stream", "model"),
        ("/model.tflite", "application/octet-stream", "model"),
        ("/contract%2ejson", "application/json", "{}"),
        ("/golden/golden.json", "application/json", "golden"),
    ],
)
def test_each_folder_is_served_at_its_place_with_its_type(get, path, type_, text):
    assert get(path) == (200, type_, text)


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/runtimes/web/app.js", "text/javascript"),
        ("/runtimes/web/node_modules/pack/it.mjs", "text/javascript"),
        ("/runtimes/web/node_modules/pack/it.wasm", "application/wasm"),
    ],
)
def test_types_do_not_hang_on_the_tables_of_the_system(get, monkeypatch, path, type_):
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_: ("text/plain", None))
    assert get(path)[1] == type_


@pytest.mark.parametrize("path", ["/", "/?"])
def test_the_root_leads_to_the_page(get, path):
    status, _, place = get(path)
    assert (status, place) == (302, "/runtimes/web/")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "//../secret",
        "/golden/../secret",
        "/golden/%2e%2e/secret",
        "/runtimes/web/node_modules/../secret",
        "/out",
        "/%00",
        "secret",
        "/golden//etc/passwd",
        "/runtimes/web/node_modules/own",
        "/golden/",
        "/runtimes/",
    ],
)
def test_nothing_else_is_served(get, path):
    status, _, text = get(path)
    assert status == 404
    assert "secret" not in text
    assert "root:" not in text


def test_nothing_can_be_sent_to_it(get):
    assert get("/model.onnx", "PUT")[0] == 501


def test_without_golden_vectors_the_page_is_served_all_the_same(folders):
    export, _, modules = folders
    with demo_server.open_server(export, None, modules, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert set(server.RequestHandlerClass.places) == {"/", "/runtimes/web/node_modules/"}


def test_the_address_is_given_once_it_answers(folders):
    class AskedEnough(BaseException):
        pass

    answers = []

    def ask(address):
        with socket.create_connection(("127.0.0.1", int(address.split(":")[2].split("/")[0]))):
            answers.append(address)
        raise AskedEnough

    with pytest.raises(AskedEnough):
        demo_server.serve(*folders, 0, ask)
    assert answers[0].endswith("/runtimes/web/")


def test_a_port_that_is_taken_is_named(folders):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: cannot listen there .*or 0 for any"):
            demo_server.open_server(*folders, port)


def test_an_artifact_without_the_page_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"has no runtimes/web/index\.html.*--force export"):
        demo_server.open_server(tmp_path, None, tmp_path, 0)


@pytest.fixture
def runtime(tmp_path):
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "package-lock.json").write_text("{}")
    return folder


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts a script in npm's place; gives a function that tells how it was called."""

    def put(code=0, seconds=0, says=""):
        calls, path = tmp_path / "calls", tmp_path / "bin"
        path.mkdir(exist_ok=True)
        script = FAKE_NPM.format(calls=calls, seconds=seconds, code=code)
        if says:
            script = script.replace("sleep", f"echo '{says}' >&2\nsleep")
        (path / "npm").write_text(script)
        (path / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
        return lambda: calls.read_text().splitlines()

    return put


def test_packages_are_installed_once_and_without_their_scripts(npm, runtime, tmp_path):
    calls = npm()
    modules = demo_server.install(runtime, tmp_path / "cache")
    assert modules.is_dir()
    assert demo_server.install(runtime, tmp_path / "cache") == modules
    assert len(calls()) == 1
    assert calls()[0].startswith("ci --ignore-scripts ")


def test_another_lock_file_gets_packages_of_its_own(npm, runtime, tmp_path):
    npm()
    first = demo_server.install(runtime, tmp_path / "cache")
    (runtime / "package-lock.json").write_text("{ }")
    assert demo_server.install(runtime, tmp_path / "cache") != first
    assert first.is_dir()


def test_what_npm_says_is_told_and_nothing_is_left(npm, runtime, tmp_path):
    npm(code=1, says="npm error code ENOTFOUND")
    with pytest.raises(StageError, match=r"web: npm ci .* failed: code ENOTFOUND\. .*connection"):
        demo_server.install(runtime, tmp_path / "cache")
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] in ([], [".lock"])
    npm()
    assert demo_server.install(runtime, tmp_path / "cache").is_dir()


def test_an_npm_that_hangs_is_ended(npm, runtime, tmp_path, monkeypatch):
    npm(seconds=2)
    monkeypatch.setattr(demo_server, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(StageError, match=r"took over 0\.2 s"):
        demo_server.install(runtime, tmp_path / "cache")


def test_without_npm_it_is_said_what_to_install(runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no npm on PATH; install Node\.js"):
        demo_server.install(runtime, tmp_path / "cache")


def test_a_runtime_that_was_not_exported_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"web: has no package-lock\.json; .*--force export"):
        demo_server.install(tmp_path / "web", tmp_path / "cache")


def test_two_processes_at_once_install_once(npm, runtime, tmp_path):
    calls = npm(seconds=0.5)
    code = (
        "import sys; from pathlib import Path; from export.deployment.demo_server import install;"
        "print(install(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(runtime), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0] for process in both}
    assert len(answers) == 1
    assert len(calls()) == 1


@pytest.mark.parametrize(
    "folder", ["export/runtimes/web", "export/runtimes/node", "tests/export/runtimes/browser"]
)
def test_lock_files_hold_exact_versions_and_no_addresses(folder):
    text = (ROOT / folder / "package-lock.json").read_text("utf-8")
    assert "resolved" not in text
    assert "://" not in text
    assert '"integrity": "sha512-' in text
    package = json.loads((ROOT / folder / "package.json").read_text("utf-8"))
    for version in package["dependencies"].values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
