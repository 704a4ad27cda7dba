"""The YAML reader: what a person wrote is what they get, or one line that says why not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.strict_yaml import MAX_CHARACTERS, parse_yaml
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-2.", -2.0),
        ("+7", 7),
        ("010", 10),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("off", "off"),
        ("yes", "yes"),
        ("N", "N"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        (".inf", ".inf"),
        ("nan", "nan"),
        ("'1e-3'", "1e-3"),
        ("[1, a, 2.5]", [1, "a", 2.5]),
        ("{log: [1e-4, 1e-2]}", {"log": [1e-4, 1e-2]}),
    ],
)
def test_a_value_is_what_a_reader_expects(text, value):
    read = parse_yaml(f"key: {text}", "f")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' stands twice"),
        ("a: 1\nb:\n  c: 1\n  c: 2", 4, "'c' stands twice"),
        ("a: &x 1\nb: *x", 2, "aliases"),
        ("a: 1\n2: b", 2, "key 2 is not text"),
        ("true: b", 1, "key True is not text"),
        ("a: 1\n? [b]\n: c", 2, "not text"),
        ("? {a: b}\n: c", 1, "not text"),
        ("a:\n\tb: 1", 2, r"\t"),
        ("a: 1\nb: [1, 2", 2, "flow sequence"),
        ("a: 'open", 1, "quoted scalar"),
        ("a: 1\nb: \0", 2, "U+0000"),
        ("a: 1\n\nb: \x07", 3, "U+0007"),
        ("[" * 60, 1, "nested more than"),
        ("- " * 60, 1, "nested more than"),
        ("a: 1\nb: " + "{c: " * 60, 2, "nested more than"),
        ("--- {}\n--- {}", 2, "single document"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags"),
        ("a: !!timestamp x", 1, "tags"),
        ("!!set {a}", 1, "tags"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_file_and_line(text, line, problem):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "some.yaml")
    message = str(caught.value)
    assert message.startswith(f"some.yaml:{line}: ")
    assert problem in message
    assert "\n" not in message


def test_more_than_a_million_characters_are_refused_unread():
    with pytest.raises(ConfigError, match=r"^big\.yaml: more than 1,000,000 characters"):
        parse_yaml("[" * (MAX_CHARACTERS + 1), "big.yaml")


def test_a_merge_key_is_a_key_like_any_other():
    assert parse_yaml("<<: {a: 1}", "f") == {"<<": {"a": 1}}


yaml_like = st.lists(
    st.sampled_from([*"abe01.-+:,?!&*|>%@~\"'{}[]#\\ \n\t", ": ", "- ", "\n  ", "!!", "---", "<<"])
).map("".join)


@given(st.one_of(st.text(), yaml_like))
def test_any_text_gives_data_or_a_config_error_of_one_line(text):
    problem = None
    try:
        parse_yaml(text, "f")
    except ConfigError as error:
        problem = str(error)
    assert problem is None or re.fullmatch(r"f:\d+: .+", problem)
