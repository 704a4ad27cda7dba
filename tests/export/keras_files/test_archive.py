"""What is refused before Keras sees any of it."""

import io
import json
import struct
import time
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

from export.keras_files.archive import open_archive
from pipeline.core.errors import ConfigError


def weights(fill=lambda file: None):
    """The bytes of an HDF5 file that `fill` has added to."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["kernel"] = np.ones(3, np.float32)
        fill(file)
    return stream.getvalue()


CONFIG = json.dumps({"class_name": "Sequential", "config": {}})
WHOLE = {"metadata.json": "{}", "config.json": CONFIG, "model.weights.h5": weights()}


def zipped(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


@pytest.fixture
def refused(tmp_path):
    def message_for(*more, compression=zipfile.ZIP_STORED, **changed):
        members = {**WHOLE, **{name.replace("__", "."): text for name, text in changed.items()}}
        pairs = [(name, text) for name, text in members.items() if text is not None]
        with pytest.raises(ConfigError) as caught:
            open_archive(zipped(tmp_path / "m.keras", [*pairs, *more], compression))
        assert str(caught.value).startswith(f"{tmp_path / 'm.keras'}: ")
        return str(caught.value).removeprefix(f"{tmp_path / 'm.keras'}: ")

    return message_for


def test_a_file_of_keras_comes_out_as_it_went_in(tmp_path):
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).save(path)
    archive = open_archive(path)
    archive.write(tmp_path / "again.keras")
    first, second = zipfile.ZipFile(path), zipfile.ZipFile(tmp_path / "again.keras")
    assert sorted(first.namelist()) == sorted(second.namelist())
    assert first.read("model.weights.h5") == second.read("model.weights.h5")
    assert json.loads(first.read("config.json")) == json.loads(second.read("config.json"))


def test_a_file_that_is_cut_off_or_no_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "m.keras", WHOLE.items())
    for content in (path.read_bytes()[:-30], b"\x89HDF\r\n", b""):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"no whole zip file .*; expected a .keras file"):
            open_archive(path)


def test_a_file_with_a_bit_that_flipped_is_refused(tmp_path):
    path = zipped(tmp_path / "m.keras", WHOLE.items())
    content = bytearray(path.read_bytes())
    content[content.index(weights()) + 900] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"no whole zip file \(Bad CRC-32"):
        open_archive(path)


def test_a_folder_and_a_file_that_is_not_there_are_refused_by_name(tmp_path):
    (tmp_path / "m.keras").mkdir()
    with pytest.raises(ConfigError, match=r"m.keras: is a folder; expected a .keras file"):
        open_archive(tmp_path / "m.keras")
    with pytest.raises(ConfigError, match=r"n.keras: cannot be read \(No such file"):
        open_archive(tmp_path / "n.keras")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "assets/../../evil", "assets\\..\\evil", "model.pkl"]
)
def test_members_that_keras_does_not_write_are_refused(refused, name):
    assert refused((name, "x")).startswith(f"holds {name!r}, which Keras never writes")


def test_a_file_that_keras_did_not_write_is_said_to_be_unsafe_and_what_to_do(refused):
    assert refused(("model.pkl", "x")).endswith(
        ", which Keras never writes; load the model where it was made and save it again, and do "
        "not use a file of unknown origin"
    )


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_member_that_stands_twice_is_refused(refused):
    assert refused(("config.json", CONFIG)).startswith("holds config.json twice")


@pytest.mark.parametrize("name", ["config__json", "model__weights__h5"])
def test_a_member_that_is_missing_is_named(refused, name):
    assert refused(**{name: None}).startswith(f"has no {name.replace('__', '.')};")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(refused):
    bomb = ("assets/zeros", bytes(1 << 24))
    said = refused(bomb, compression=zipfile.ZIP_DEFLATED)
    assert said.startswith("unpacks to 16,7")


def test_no_more_is_unpacked_than_a_member_says_that_it_holds(tmp_path):
    size = 67_000_001
    bomb = ("assets/zeros", bytes(size))
    path = zipped(tmp_path / "m.keras", [*WHOLE.items(), bomb], zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    assert content.count(struct.pack("<I", size)) == 2
    path.write_bytes(content.replace(struct.pack("<I", size), struct.pack("<I", 100)))
    tracemalloc.start()
    with pytest.raises(ConfigError, match=r"is no whole zip file \(Bad CRC-32"):
        open_archive(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_thousands_of_members_are_checked_at_once(tmp_path):
    assets = [(f"assets/{index}", "") for index in range(20_000)]
    path = zipped(tmp_path / "m.keras", [*WHOLE.items(), *assets])
    start = time.process_time()
    assert len(open_archive(path).members) == 20_002
    assert time.process_time() - start < 5  # counting each among all takes 7 s and more


@pytest.mark.parametrize("at", [0, 5, 20, 200])
def test_a_packed_file_that_is_damaged_is_refused(tmp_path, at):
    path = zipped(tmp_path / "m.keras", WHOLE.items(), zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    start = content.index(b"model.weights.h5") + len("model.weights.h5") + at
    content[start : start + 4] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is no whole zip file \("):
        open_archive(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_that_is_packed_as_keras_cannot_is_refused(refused, method):
    assert refused(compression=method).startswith(
        f"packs metadata.json by method {method}, which Keras never writes"
    )


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"config": {}}', "[" * 100_000])
def test_a_config_that_is_no_model_is_refused(refused, text):
    assert refused(config__json=text).startswith("has a config.json that ")


LINKS = {
    "soft": lambda file: file.__setitem__("link", h5py.SoftLink("/kernel")),
    "external": lambda file: file.__setitem__("link", h5py.ExternalLink("other.h5", "/kernel")),
    "inside": lambda file: file.create_group("a/b").__setitem__("link", h5py.SoftLink("/kernel")),
}


CIRCLES = {
    "itself": lambda file: file.__setitem__("loop", file),
    "its own group": lambda file: file.create_group("layers").__setitem__("loop", file["layers"]),
    "a group above": lambda file: file.create_group("a/b").__setitem__("loop", file["a"]),
    "a group beside": lambda file: file.__setitem__("twin", file.create_group("layers")),
}


@pytest.mark.parametrize("kind", CIRCLES)
def test_weights_whose_groups_lead_back_to_themselves_are_refused(refused, kind):
    said = refused(model__weights__h5=weights(CIRCLES[kind]))
    assert said.startswith("has weights that are met twice (/")


def test_weights_without_a_shape_or_of_an_unknown_type_are_refused_or_count_for_nothing(
    refused, tmp_path
):
    empty = weights(lambda file: file.__setitem__("empty", h5py.Empty("f4")))
    assert open_archive(zipped(tmp_path / "e.keras", {**WHOLE, "model.weights.h5": empty}.items()))

    def moments(file):
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"moments", h5py.h5t.UNIX_D32LE, space)

    assert refused(model__weights__h5=weights(moments)).startswith(
        "has weights that are no whole HDF5 file"
    )


@pytest.mark.parametrize("kind", LINKS)
def test_weights_that_are_a_link_are_refused(refused, kind):
    assert refused(model__weights__h5=weights(LINKS[kind])).startswith(
        "has weights that are a link (/"
    )


def external(file):
    file.create_dataset("outside", (3,), "f4", external=[("/etc/passwd", 0, 12)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "kernel", (3,))
    file.create_virtual_dataset("outside", layout)


@pytest.mark.parametrize("fill", [external, virtual])
def test_weights_that_lie_in_another_file_are_refused(refused, fill):
    said = refused(model__weights__h5=weights(fill))
    assert said.startswith("has weights in another file (/outside)")


def test_weights_that_claim_more_than_is_stored_are_refused(refused):
    def claim(file):
        file.create_dataset("huge", (1 << 28,), "f4", chunks=(1 << 20,), compression="gzip")

    assert refused(model__weights__h5=weights(claim)).startswith(
        "declares weights of 1,073,741,836 bytes in "
    )


def test_weights_that_are_no_hdf5_are_refused(refused):
    assert refused(model__weights__h5=b"x" * 100).startswith(
        "has weights that are no whole HDF5 file"
    )
