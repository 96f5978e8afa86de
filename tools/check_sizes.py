"""Hold every module, function and signature to the project's sizes: `python -m tools.check_sizes`.

An exception is allowed where it carries its reason on the line: `# sizes: <reason>` on the line of the `def`, or, for a
whole module, `# sizes(module): <reason>` on a line of its own. A marker without a reason, or one that excuses
nothing, is a finding too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["findings", "main"]

MODULE_LINES = 400
FUNCTION_LINES = 50
NESTING = 3
PARAMETERS = 7
# numba compiles neither keyword-only parameters nor cheap structs: a kernel takes its arrays one by one.
KERNEL_PARAMETERS = 14
POSITIONAL = 2
PACKAGES = ("stream", "detectors", "learners", "service")
FOLDERS = (*PACKAGES, "benchmarks", "tools", "tests")

_MARKER = re.compile(r"#\s*sizes:\s*(.*)$")
_MODULE_MARKER = re.compile(r"^#\s*sizes\(module\):\s*(.*)$", re.MULTILINE)
_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith, ast.TryStar)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def findings(path: Path, source: str) -> list[str]:
    """Name all that is too large in `source`, one sentence each, with file and line."""
    lines = source.splitlines()
    found = list(_module_findings(path, source, lines))
    for function, is_method in _functions(ast.parse(source)):
        problems = list(_function_findings(function, is_method=is_method, library=path.parts[0] in PACKAGES))
        marker = _MARKER.search(lines[function.lineno - 1])
        if marker is None:
            found += [f"{path}:{function.lineno}: {function.name}: {problem}" for problem in problems]
        elif not marker[1]:
            found.append(f"{path}:{function.lineno}: {function.name}: the marker '# sizes:' needs a reason after it")
        elif not problems:
            found.append(f"{path}:{function.lineno}: {function.name}: remove '# sizes:', nothing here is too large")
    return found


def _module_findings(path: Path, source: str, lines: list[str]) -> Iterator[str]:
    marker = _MODULE_MARKER.search(source)
    if len(lines) >= MODULE_LINES and (marker is None or not marker[1]):
        yield f"{path}:1: {len(lines)} lines; a module stays under {MODULE_LINES}: split it by subject"
    if len(lines) < MODULE_LINES and marker is not None:
        yield f"{path}:1: remove '# sizes(module):', the module is small enough"
    if len(path.parts) > 2 and path.parts[0] != "tests":
        yield f"{path}:1: packages are one directory deep"
    if len(path.parts) > 3:
        yield f"{path}:1: tests are one directory deep"


def _functions(tree: ast.Module) -> Iterator[tuple[_Function, bool]]:
    methods = {id(item) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            yield node, id(node) in methods and not _has_decorator(node, "staticmethod")


def _function_findings(function: _Function, *, is_method: bool, library: bool) -> Iterator[str]:
    length = (function.end_lineno or function.lineno) - function.lineno + 1 - _docstring_lines(function)
    if length >= FUNCTION_LINES:
        yield f"{length} lines without its docstring; a function stays under {FUNCTION_LINES}"
    nesting = _nesting(function.body)
    if nesting > NESTING:
        yield f"blocks nest {nesting} deep; {NESTING} at most"
    kernel = _has_decorator(function, "njit")
    limit = KERNEL_PARAMETERS if kernel else PARAMETERS
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - is_method
    count = positional + len(arguments.kwonlyargs)
    if count > limit:
        yield f"{count} parameters; {limit} at most"
    if library and not kernel and positional > PARAMETERS - POSITIONAL:
        yield f"{positional} positional parameters; make those after the first two keyword-only"


def _docstring_lines(function: _Function) -> int:
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return (first.end_lineno or first.lineno) - first.lineno + 1
    return 0


def _has_decorator(function: _Function, name: str) -> bool:
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if (target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")) == name:
            return True
    return False


def _nesting(body: list[ast.stmt], depth: int = 0) -> int:
    deepest = depth
    for statement in body:
        if isinstance(statement, _BLOCKS):
            deepest = max(deepest, *(_nesting(inner, depth + 1) for inner in _inner_bodies(statement, depth)))
    return deepest


def _inner_bodies(statement: ast.stmt, depth: int) -> Iterator[list[ast.stmt]]:
    """The blocks inside `statement`; those of an `elif` count as if they stood beside it."""
    for name in ("body", "finalbody"):
        yield getattr(statement, name, [])
    orelse: list[ast.stmt] = getattr(statement, "orelse", [])
    if len(orelse) == 1 and isinstance(orelse[0], ast.If) and isinstance(statement, ast.If):
        yield from _inner_bodies(orelse[0], depth)
    else:
        yield orelse
    for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
        yield part.body


def main() -> int:
    """Check all folders from the project's root; the exit code is 1 where anything is too large."""
    paths = sorted(path for folder in FOLDERS for path in Path(folder).rglob("*.py"))
    found = [finding for path in paths for finding in findings(path, path.read_text("utf-8"))]
    print("\n".join(found) or f"sizes: {len(paths)} modules, nothing too large")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
