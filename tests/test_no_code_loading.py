"""Nothing that is loaded can run code: read from the syntax trees of all packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
PACKAGES = ("stream", "detectors", "learners", "service")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

LOADERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "joblib", "dill", "cloudpickle", "runpy", "code", "imp"}
CALLS = {"eval", "exec", "compile", "__import__", "import_module", "import_string", "load_module", "exec_module"}
FREE_FUNCTIONS = {"eval", "exec", "compile", "__import__"}  # as methods (re.compile, ast nodes) these are harmless

# Where an import by name is the point, and why data cannot choose the name.
ALLOWED = {
    ("learners/codec.py", "import_module"): "rebuilds allow-listed classes of river only",
    (
        "learners/sklearn_build.py",
        "import_module",
    ): "packages of scikit-learn on a list only",
    ("learners/river_adapter.py", "import_module"): "lists the allow-listed packages of river to suggest a name",
}


def violations(source: str) -> Iterator[str]:
    """Name each way in `source` by which data could become code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in LOADERS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LOADERS:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _call(node: ast.Call) -> Iterator[str]:
    if _imports_a_fixed_name(node):
        return
    if isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield node.func.id
    if isinstance(node.func, ast.Attribute) and node.func.attr in CALLS - FREE_FUNCTIONS:
        yield node.func.attr
    unsafe = {"allow_pickle": True, "shell": True}
    for keyword in node.keywords:
        if keyword.arg in unsafe and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            yield f"{keyword.arg}=…"


def _imports_a_fixed_name(node: ast.Call) -> bool:
    """`import_module("river.base")`: late, as river is slow to import, but no data chooses the name."""
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    fixed = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    return name == "import_module" and isinstance(fixed, str) and fixed.split(".")[0] not in LOADERS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_loads_no_code(path: Path) -> None:
    """No module unpickles, evaluates or imports by a name that data could choose."""
    name = str(path.relative_to(ROOT))
    found = [found for found in violations(path.read_text("utf-8")) if (name, found) not in ALLOWED]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib as j",
        "from dill import loads",
        "from pickle import loads as parse",
        "eval(text)",
        "exec(text)",
        "importlib.import_module(name)",
        "from importlib import import_module\nimport_module(name)",
        "__import__(name)",
        "import_module('pickle')",
        "import_module(f'river.{name}')",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_each_known_way_is_seen(source: str) -> None:
    """The reader of syntax trees sees every way that it looks for."""
    assert list(violations(source)) != []


def test_harmless_code_passes() -> None:
    """What only looks alike is left alone."""
    source = "import re\nre.compile('a')\nnp.load(path, allow_pickle=False)\nmodel.evaluate(x)\n"
    assert list(violations(source + "import_module('river.base')\n")) == []


def test_every_exception_is_still_needed() -> None:
    """The list of allowed places names only modules that exist and make that call."""
    stale = [
        (name, call)
        for name, call in ALLOWED
        if not (ROOT / name).exists() or call not in set(violations((ROOT / name).read_text("utf-8")))
    ]
    assert stale == []
