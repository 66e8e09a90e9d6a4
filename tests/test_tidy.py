"""Files and functions stay small, because the large ones of every project of this kind became god files."""

import ast
from collections.abc import Iterator
from pathlib import Path

from paperdesk.environment import BASE_DIR

FOLDERS = ("paperdesk", "trading", "results", "tests", "bench")
LINES_MAX = 300
LINES_MAX_OF_LISTS = 400  # models, admin and tests are long lists of alike things
FUNCTION_LINES_MAX = 50
SCRIPT_SUFFIXES = (".py", ".lua", ".sql", ".js", ".css")
SPLIT = "split it by what it is about, not by what kind of code it holds"


def sources(*suffixes: str) -> Iterator[Path]:
    """Our own source files; migrations are generated and vendored files are others'."""
    for folder in (*FOLDERS, "templates", "static"):
        for file in sorted((BASE_DIR / folder).rglob("*")):
            if file.suffix in suffixes and not {"migrations", "vendor", "__pycache__"} & set(file.parts):
                yield file


def lines_max(file: Path) -> int:
    listing = file.stem in {"models", "admin"} or "tests" in file.relative_to(BASE_DIR).parts
    return LINES_MAX_OF_LISTS if listing else LINES_MAX


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_short() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in sources(*SCRIPT_SUFFIXES)}
    long = [
        f"{file.relative_to(BASE_DIR)} has {length} lines, {lines_max(file)} are allowed; {SPLIT}"
        for file, length in lengths.items()
        if length > lines_max(file)
    ]
    assert lengths
    assert not long, "\n".join(long)


def test_functions_are_short() -> None:
    long = [
        f"{file.relative_to(BASE_DIR)}:{function.lineno} {function.name} has {length} lines, "
        f"{FUNCTION_LINES_MAX} are allowed; name its steps"
        for file in sources(".py")
        for function in functions(file)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(file.relative_to(BASE_DIR))
        for file in sources(".py")
        if file.read_text().strip() and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert not silent, "these modules have no docstring: " + ", ".join(silent)


def test_no_star_imports_and_no_swallowed_exceptions() -> None:
    found = []
    for file in sources(".py"):
        for node in ast.walk(ast.parse(file.read_text())):
            where = f"{file.relative_to(BASE_DIR)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                found.append(f"{where} imports a star")
            if isinstance(node, ast.ExceptHandler) and _swallows_everything(node):
                found.append(f"{where} swallows every exception")
    assert not found, "\n".join(found)


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    return broad and all(isinstance(statement, ast.Pass) for statement in handler.body)
