"""Every test has an assertion that can fail."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]

#: Calls that fail a test where something is not as it should be.
ASSERTING = {"raises", "warns", "fail", "wait_for", "assert_called_once", "assert_called_once_with", "assert_type"}


def found() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, set[str]]]:
    """Each test, with the names of all functions that can fail it."""
    helpers = set(ASSERTING)
    trees = {file: ast.parse(file.read_text()) for file in sorted(TESTS.rglob("*.py"))}
    functions = [
        node
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("test_")
    ]
    while more := {one.name for one in functions if one.name not in helpers and asserts(one, helpers)}:
        helpers |= more
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield file, node, helpers


def asserts(function: ast.AST, helpers: set[str]) -> bool:
    """Whether it has an assertion that does not hold by itself, or calls what has one."""
    for node in ast.walk(function):
        match node:
            case ast.Assert(test=ast.Constant()):
                continue
            case ast.Assert():
                return True
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in helpers:
                return True
    return False


def test_every_test_has_an_assertion_that_can_fail() -> None:
    without = [
        f"{file.relative_to(TESTS)}: {test.name}" for file, test, helpers in found() if not asserts(test, helpers)
    ]
    assert without == []
