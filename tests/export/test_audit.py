"""Files that are not what they are said to be, and what finds out."""

import pytest

from export import audit
from export.formats import formats

NAMES = sorted(formats())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_what_it_says_passes_every_check(exported, name):
    options = formats()[name].options()
    checks = audit.check(name, exported.path(name), exported.contract, options)
    assert [check.reason for check in checks if not check.passed] == []
