"""Files that are brought as models, and are archives that do harm, or no archives of Keras."""

import json
import pickle
import stat
import tarfile
import zipfile

import h5py
import keras
import numpy as np

from tests.hostile.canary import HostileFile
from tests.hostile.keras_files import L, good, stored_lambda, written

NEVER = ", which Keras never writes"


def climbing(name):
    return lambda place: written(place, good(), (name(place.canary), b"x"))


def extracts(path):
    """Joins each member's name to a folder, as many programs still do."""
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            target = path.parent / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read(name))


def link_member(place):
    info = zipfile.ZipInfo("assets/words")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return written(place, good(), (info, str(place.canary.secret)))


def unpickles(path):
    return pickle.loads(path.read_bytes())


class Opens:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(place):
    path = place.folder / "mine.keras"
    path.write_bytes(pickle.dumps(Opens(place.canary.folder / "ran"), protocol=4))
    return path


def tarred(place):
    path = place.folder / "mine.keras"
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo(str(place.canary.folder / "ran")))
    return path


def untars(path):
    with tarfile.open(path) as file:
        file.extractall(path.parent, filter="fully_trusted")


def legacy(name):
    """A file of Keras 2, whose config stands in an attribute; here with a Lambda."""

    def make(place):
        model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
        path = place.folder / name
        model.save(path.with_suffix(".h5"))
        config = json.loads(model.to_json())
        config["config"]["layers"].append(stored_lambda(place))
        with h5py.File(path.with_suffix(".h5"), "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
        return path.with_suffix(".h5").rename(path)

    return make


def loads_legacy(path):
    copy = path.with_name("copy.h5")
    copy.write_bytes(path.read_bytes())
    return keras.saving.load_model(copy, safe_mode=False)(np.ones((1, 4), np.float32))


def linked_away(place):
    path = place.folder / "mine.keras"
    path.symlink_to(place.canary.folder)
    return path


def bomb(place):
    return written(place, good(), ("assets/zeros", bytes(1 << 25)), pack=zipfile.ZIP_DEFLATED)


def lying_bomb(place):
    path = bomb(place)
    size = (1 << 25).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (100).to_bytes(4, "little")))
    return path


def trusted_by_itself(place):
    """A model in a folder that says of itself that it may run code."""
    (place.folder / "trusted.json").write_text('{"code": "model_code.py"}')
    code = f"open({str(place.canary.folder / 'ran')!r}, 'w').close()\n"
    (place.folder / "model_code.py").write_text(code)
    return written(place, good(), name="model.keras")


KINDS = {
    "a member that climbs out": HostileFile(
        climbing(lambda c: f"../{c.folder.name}/ran"), f"holds '../canary/ran'{NEVER}", extracts
    ),
    "an asset that climbs out": HostileFile(
        climbing(lambda c: f"assets/../../{c.folder.name}/ran"), f"ran'{NEVER}", extracts
    ),
    "a member from the root": HostileFile(
        climbing(lambda c: f"{c.folder}/ran"), f"holds '/.*{NEVER}", extracts
    ),
    "a member behind backslashes": HostileFile(
        climbing(lambda c: f"assets\\..\\..\\{c.folder.name}\\ran"), f"holds 'assets.*{NEVER}"
    ),
    "a member that is a link": HostileFile(link_member, "holds a link"),
    "a bomb": HostileFile(bomb, "unpacks to 33,5"),
    "a bomb that says it is small": HostileFile(lying_bomb, "is no whole zip file"),
    "a pickle": HostileFile(pickled, "is a pickle of Python objects; expected a .keras", unpickles),
    "a tar archive that climbs out": HostileFile(tarred, "is a tar archive; expected", untars),
    "a legacy file": HostileFile(
        legacy("mine.keras"), "is an HDF5 file; rename it", loads_legacy
    ),
    "a link to a folder": HostileFile(linked_away, "is a folder; expected a .keras"),
    "a file that trusts itself": HostileFile(trusted_by_itself, "can run code, and the config"),
}  # fmt: skip
