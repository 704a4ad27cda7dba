"""A stand-in for TensorFlow Serving runs the SavedModel behind the same requests and answers."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tensorflow as tf

from export.deployment import tf_serving
from export.verification import golden
from pipeline.core.errors import ExportError
from pipeline.data.images.types import LabelledImages


@pytest.fixture(scope="module")
def rendered(exported):
    folder = exported.folder / "runtimes" / "serving"
    tf_serving.write(exported.folder, exported.contract, exported.images[5], folder, 120)
    return folder


class Serving(BaseHTTPRequestHandler):
    """Answers what TensorFlow Serving would: one list of numbers for each instance."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        images = tf.constant(body["instances"], tf.float32)
        answer = self.server.signature(image=images)["probabilities"].numpy()
        if self.path != "/v1/models/classifier:predict":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"predictions": answer.tolist()}).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server(exported):
    (version,) = exported.path("saved_model").iterdir()
    loaded = tf.saved_model.load(version)
    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as running:
        running.signature = loaded.signatures["serving_default"]
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1/models/classifier:predict"
        running.shutdown()


@pytest.fixture
def golden_folder(exported, tmp_path):
    expected = exported.model.predict(exported.images, verbose=0)
    labels = expected.argmax(axis=1)
    golden.write(
        tmp_path / "golden",
        LabelledImages(exported.images, labels),
        {"saved_model": golden.Answers(expected, "Keras")},
        exported.contract,
        golden.choose(expected, labels),
    )
    return tmp_path / "golden"


def test_the_response_is_what_keras_says_of_the_image_in_the_request(exported, rendered):
    request = json.loads((rendered / "request.json").read_text())
    (image,) = request["instances"]
    np.testing.assert_array_equal(image, exported.images[5])
    (probabilities,) = json.loads((rendered / "response.json").read_text())["predictions"]
    expected = exported.model.predict(exported.images[5:6], verbose=0)[0]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    top = exported.contract.output.labels[expected.argmax()]
    assert f'It says "{top}".' in (rendered / "README.md").read_text()


def test_the_readme_names_what_lies_there(exported, rendered):
    text = (rendered / "README.md").read_text()
    assert "saved_model/\n└── 1/\n" in text
    assert "12 × 10 × 1 numbers" in text
    assert "MODEL_NAME=classifier" in text


def check_server(rendered, golden_folder, url):
    command = [sys.executable, rendered / "check_server.py", golden_folder, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_server_that_answers_as_golden_passes_the_check(rendered, server, golden_folder):
    done = check_server(rendered, golden_folder, server)
    assert done.stdout.startswith("32 of 32 agree, largest difference "), done.stderr
    assert done.returncode == 0


def test_a_server_of_another_model_fails_the_check(rendered, server, golden_folder):
    path = golden_folder / "expected" / "saved_model.bin"
    expected = np.fromfile(path, np.float32)
    expected[7] += 0.001
    expected.tofile(path)
    done = check_server(rendered, golden_folder, server)
    assert done.stdout.startswith("31 of 32 agree, largest difference 0.001"), done.stderr
    assert done.returncode == 1


def test_a_saved_model_that_does_not_answer_is_told(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(tf_serving, "ANSWER", "math:sqrt")
    with pytest.raises(ExportError, match=r"saved_model: asking it .* failed: TypeError: "):
        tf_serving.write(exported.folder, exported.contract, exported.images[0], tmp_path, 60)
