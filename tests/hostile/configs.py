"""Config files and overrides that must be refused."""

from functools import partial

from tests.hostile.row import Hostile

GOOD = "data: {source: idx}\nmodel: {preset: compact_cnn}\nexport: {formats: [onnx]}\n"
ALIASES = "\n".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)
)


def write(folder, content, name="some.yaml"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return ["-c", str(path)]


def text(content, where, remedy):
    return Hostile(partial(write, content=content), f"some.yaml{where}", remedy)


def overridden(override, where, remedy):
    return Hostile(lambda folder: [*write(folder, GOOD), override], where, remedy)


def circle(folder):
    write(folder, "extends: some.yaml", "other.yaml")
    return write(folder, "extends: other.yaml")


def chain(folder):
    for link in range(30):
        write(folder, f"extends: {link + 1}.yaml", f"{link}.yaml")
    return ["-c", str(folder / "0.yaml")]


def linked(target):
    def make(folder):
        (folder / "some.yaml").symlink_to(target)
        return ["-c", str(folder / "some.yaml")]

    return make


def missing(name):
    return lambda folder: ["-c", str(folder / name)]


KINDS = {
    "a bomb of aliases": text(f"a0: &a0 [x]\n{ALIASES}\n", ":2: aliases", "write the value out"),
    "a key that stands twice": text(GOOD + "seed: 1\nseed: 2", ":5: key 'seed'", "remove one"),
    "a Python object": text(
        "data: !!python/object/apply:os.system [ls]", ":1: tags", "write plain data"
    ),
    "10 MB": text("# " + "x" * 10**7, ": more than 1,000,000", "another file"),
    "a file without end": Hostile(
        linked("/dev/zero"), "some.yaml: more than 1,000,000", "another file"
    ),
    "NUL": text("seed: \0", ":1: holds the unprintable character U+0000", "remove it"),
    "an escape sequence": text("seed: \x1b[31m", ":1: holds the unprintable", "remove it"),
    "a tab": text("data:\n\tsource: idx", ":2: ", "spaces"),
    "a list": text("- data", ": expected `section:` lines", "configs/mnist.yaml"),
    "nothing": text("", ": expected `section:` lines, found nothing", "configs/mnist.yaml"),
    "two documents": text("--- {}\n--- {}", ":2: expected a single document", "correct the YAML"),
    "brackets without end": text("a: " + "[" * 10**5, ":1: nested more than 50", "no setting is"),
    "braces without end": text("a: " + "{a: " * 10**5, ":1: nested more than 50", "no setting is"),
    "dashes without end": text("- " * 10**5, ":1: nested more than 50", "no setting is"),
    "a key that is a list": text("? [a]\n: b", ":1: key ['a'] is not text", "put it in quotes"),
    "a file that extends itself": text(
        "extends: some.yaml", ": `extends` goes in a circle", "remove one of its links"
    ),
    "a circle of files": Hostile(circle, "some.yaml: `extends` goes", "remove one of its links"),
    "a chain of 30 files": Hostile(chain, ".yaml: `extends` leads over 11 files", "join some"),
    "a file that extends NUL": text('extends: "a\\0b"', r": extends a\x00b", "name a config"),
    "a file that extends half a character": text('extends: "\\ud800"', ":1: ", "write all of it"),
    "a file that extends a folder": text("extends: .", ": extends .: ", "name a config"),
    "a program": text(b"\x7fELF\x02\x01\x01\xff" * 99, ": is no UTF-8 text", "save it"),
    "UTF-16": text(GOOD.encode("utf-16"), ": is no UTF-8 text", "save it"),
    "a folder": Hostile(
        linked("."), "some.yaml: cannot be read (Is a directory)", "name a config file"
    ),
    "a link to itself": Hostile(
        linked("some.yaml"), "some.yaml: cannot be read (Too many levels", "name a config"
    ),
    "a file that cannot be read": Hostile(
        linked("/proc/self/mem"), "some.yaml: cannot be read", "name a config"
    ),
    "a name with a line break": Hostile(missing("a\nb.yaml"), r"a\nb.yaml: no such", "Check"),
    "a name of 5,000 letters": Hostile(missing("a" * 5000), "aaa: cannot be read", "name a config"),
    "a number without end": text(
        GOOD + "seed: " + "9" * 5000, ": seed is ", "it should be a whole number"
    ),
    "an infinite number": overridden(
        "train.learning_rate=1e999", "train.learning_rate is inf", "should be a finite number"
    ),
    "a key of 5,000 parts": overridden("a." * 5000 + "a=1", "command line: a.a.", "no setting is"),
    "a key of 5,000 letters": overridden("a" * 5000 + "=1", "command line: aaaa", "Available"),
    "half a character": overridden(
        'data.folder="\\ud800"', "command line: data.folder:1: ", "write all of it"
    ),
    "an unknown key with a line break": overridden('train={"a\\nb": 1}', r"a\nb", "Available"),
    "a value of 100,000 letters": overridden(
        "train.epochs=" + "a" * 10**5, "train.epochs is 'aaa", "a whole number"
    ),
    "a value with a line break": overridden(
        'train.optimizer="a\\nb"', r"train.optimizer is 'a\nb'", "Available"
    ),
}
