"""The gate on sizes and exports sees what it should, and excuses only with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import check_exports, check_sizes

__all__: list[str] = []

HERE = Path("service/example.py")


def _sizes(source: str, path: Path = HERE) -> list[str]:
    return check_sizes.findings(path, source)


def test_small_code_passes() -> None:
    """A short, flat function with few parameters is no finding."""
    assert _sizes("def f(a, b, *, c):\n    if a:\n        return b\n    return c\n") == []


def test_long_function_is_found() -> None:
    """A function of fifty lines is one line too long; forty-nine are fine."""
    assert _sizes("def f():\n" + "    a = 1\n" * 48) == []
    (finding,) = _sizes("def f():\n" + "    a = 1\n" * 49)
    assert "50 lines" in finding


def test_docstring_does_not_count() -> None:
    """Saying more about a function does not make it too long."""
    docstring = '    """Say.\n\n' + "    more\n" * 60 + '    """\n'
    assert _sizes("def f():\n" + docstring + "    return 1\n") == []


def test_long_module_is_found() -> None:
    """A module of four hundred lines is one line too long."""
    assert _sizes("a = 1\n" * 399) == []
    (finding,) = _sizes("a = 1\n" * 400)
    assert "400 lines" in finding


def test_deep_nesting_is_found_and_elif_is_flat() -> None:
    """Four blocks inside each other are one too deep; a chain of elif is one block."""
    deep = "def f(x):\n for a in x:\n  if a:\n   while a:\n    with a:\n     pass\n"
    chain = "def f(x):\n for a in x:\n  if a:\n   if a: pass\n  elif x:\n   if a: pass\n  else:\n   if a: pass\n"
    assert len(_sizes(deep)) == 1
    assert _sizes(chain) == []


@pytest.mark.parametrize(
    "signature",
    ["a, b, *, c, d, e, f, g, h", "a, b, c, d, e, f"],
)
def test_too_many_parameters_are_found(signature: str) -> None:
    """Eight parameters are too many, and so are six without names at the call."""
    assert len(_sizes(f"def f({signature}): pass\n")) == 1


def test_self_is_no_parameter() -> None:
    """A method's own object is not counted."""
    assert _sizes("class C:\n    def f(self, a, b, *, c, d, e, f, g): pass\n") == []


def test_marker_excuses_with_a_reason_only() -> None:
    """An exception stands on the line with its reason; without one, or without need, it is a finding itself."""
    eight = "a, b, *, c, d, e, f, g, h"
    assert _sizes(f"def f({eight}): pass  # sizes: mirrors scipy's signature\n") == []
    assert "reason" in _sizes(f"def f({eight}): pass  # sizes:\n")[0]
    assert "remove" in _sizes("def f(): pass  # sizes: no need\n")[0]


def test_packages_are_one_directory_deep() -> None:
    """A package inside a package is a finding."""
    assert len(_sizes("a = 1\n", Path("service/inner/example.py"))) == 1


def test_exports_are_what_is_public() -> None:
    """A public name that is not listed and a listed name that is not defined are both found."""
    source = '__all__ = ["gone"]\ndef here(): pass\n'
    assert [f.split(": ")[1].split()[0] for f in check_exports.findings(HERE, source)] == ["here", "__all__"]
    assert check_exports.findings(HERE, '__all__ = ["here"]\ndef here(): pass\ndef _own(): pass\n') == []


@pytest.mark.parametrize("name", ["service/utils.py", "service/http_helpers.py", "stream/common.py"])
def test_names_that_say_nothing_are_found(name: str) -> None:
    """A module is named by what is inside."""
    assert len(check_exports.findings(Path(name), "a = 1\n")) == 1
