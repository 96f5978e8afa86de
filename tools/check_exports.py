"""Hold each module's `__all__` and names to the truth: `python -m tools.check_exports`.

`__all__` of a library module lists exactly its public functions and classes (and what constants it means to
export); ruff keeps it sorted. Names that say nothing (manager, utils, common, …) are findings.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["findings", "main"]

PACKAGES = ("stream", "detectors", "learners", "service")

_EMPTY_NAMES = re.compile(r"(^|_)(utils?|common|misc|helpers?|managers?|handlers?)(_|$)")
_EMPTY_CLASSES = re.compile(r"(Manager|Handler|Helper|Utils?|Misc)(?![a-z])")


def findings(path: Path, source: str) -> list[str]:
    """Name what `__all__` lists wrongly or lacks, and the names that say nothing."""
    tree = ast.parse(source)
    return [f"{path}: {problem}" for problem in (*_export_findings(tree), *_name_findings(path, tree))]


def _export_findings(tree: ast.Module) -> Iterator[str]:
    exported = _exported(tree)
    public = {n.name for n in tree.body if isinstance(n, _DEFINITIONS) and not n.name.startswith("_")}
    if exported is None:
        if public:
            yield f"has public names and no __all__: {', '.join(sorted(public))}"
        return
    bound = set(_bound_names(tree.body))
    for name in sorted(public - set(exported)):
        yield f"{name} is public and not in __all__: list it or give it a leading underscore"
    for name in sorted(set(exported) - bound):
        yield f"__all__ names {name}, which the module does not define"
    for name in sorted({name for name in exported if exported.count(name) > 1}):
        yield f"__all__ names {name} twice"


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def _bound_names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.If | ast.Try):
            yield from _bound_names(node.body)
        else:
            yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _name_findings(path: Path, tree: ast.Module) -> Iterator[str]:
    if _EMPTY_NAMES.search(path.stem):
        yield "the module's name says nothing: name what is inside in the field's own words"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and _EMPTY_CLASSES.search(node.name):
            yield f"class {node.name} (line {node.lineno}): the name says nothing; say what the thing is"


def main() -> int:
    """Check the packages from the project's root; the exit code is 1 where anything is wrong."""
    paths = sorted(path for package in PACKAGES for path in Path(package).glob("*.py"))
    found = [finding for path in paths for finding in findings(path, path.read_text("utf-8"))]
    print("\n".join(found) or f"exports: {len(paths)} modules, every __all__ is what is exported")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
