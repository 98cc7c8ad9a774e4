"""Every module has a test file of its own, in a tree that mirrors the sources.

`src/cowork/wire/frames.py` is tested by `tests/unit/wire/test_frames.py`; a package's `__init__.py` that
holds code by `test_init.py`, a `__main__.py` that does by `test_main.py`, a private `_name.py` by
`test_name.py`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "cowork"
UNIT_TESTS = ROOT / "tests" / "unit"

THIN_ENTRY_POINT = 15
"""A `__main__.py` with fewer statements than this needs no test of its own."""

NAME_IN_TEXT = re.compile(r"\bcowork(?:[./]\w+)*")
"""A module named in a string: `cowork.holder.loop` for `python -m`, `src/cowork/holder/loop.py` as a path."""


def modules(sources: Path) -> list[Path]:
    """Return every module below `sources`, relative to it."""
    return sorted(path.relative_to(sources) for path in sources.rglob("*.py"))


def mirror(module: Path) -> Path:
    """Return where the tests of `module` belong, relative to the unit tests' root."""
    return module.parent / f"test_{module.stem.strip('_')}.py"


def dotted(module: Path) -> str:
    """Return the name that `module` is imported by."""
    parts = module.parent.parts if module.stem == "__init__" else module.with_suffix("").parts
    return ".".join(("cowork", *parts))


def needs_tests(path: Path) -> bool:
    """Tell whether the module at `path` holds anything worth a test file."""
    tree = ast.parse(path.read_bytes())
    if path.name == "__init__.py":
        return not all(is_declaration(node) for node in tree.body)
    if path.name == "__main__.py":
        return sum(isinstance(node, ast.stmt) for node in ast.walk(tree)) >= THIN_ENTRY_POINT
    return True


def is_declaration(node: ast.stmt) -> bool:
    """Tell whether `node` is a docstring, an import or an assignment to a name such as `__version__`."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name.startswith("__") and name.endswith("__")
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=[]):
            return all(is_declaration(inner) for inner in body)
        case _:
            return False


def names_in(test_file: Path) -> Iterator[str]:
    """Yield the dotted name of everything of ours that `test_file` imports or names in a string."""
    for node in ast.walk(ast.parse(test_file.read_bytes())):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases):
                yield module
                yield from (f"{module}.{alias.name}" for alias in aliases)
            case ast.Constant(value=str(text)):
                yield from (name.removesuffix(".py").replace("/", ".") for name in NAME_IN_TEXT.findall(text))


def untested(sources: Path, tests: Path) -> list[str]:
    """Return a line for each module that lacks its test file or whose test file does not name it."""
    problems = []
    for module in modules(sources):
        if not needs_tests(sources / module):
            continue
        test_file = tests / mirror(module)
        if not test_file.is_file():
            problems.append(f"{module}: tests/unit/{mirror(module)} is missing")
        elif dotted(module) not in names_in(test_file):
            problems.append(f"{module}: tests/unit/{mirror(module)} does not import or name {dotted(module)}")
    return problems


def orphans(sources: Path, tests: Path) -> list[str]:
    """Return the unit test files that belong to no module."""
    mirrored = {mirror(module) for module in modules(sources)}
    found = {path.relative_to(tests) for path in tests.rglob("test_*.py")}
    return sorted(str(path) for path in found - mirrored)


def test_every_module_has_its_test_file() -> None:
    assert untested(SOURCES, UNIT_TESTS) == []


def test_every_unit_test_file_has_its_module() -> None:
    assert orphans(SOURCES, UNIT_TESTS) == []


def write(path: Path, text: str) -> None:
    """Write `text` to `path`, making its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "test_file", "text"),
    [
        ("wire/frames.py", "wire/test_frames.py", "from cowork.wire.frames import split"),
        ("wire/frames.py", "wire/test_frames.py", "from cowork.wire import codec, frames"),
        ("wire/frames.py", "wire/test_frames.py", "import cowork.wire.frames as frames"),
        ("holder/loop.py", "holder/test_loop.py", "ARGV = ['-m', 'cowork.holder.loop']"),
        ("holder/loop.py", "holder/test_loop.py", "PATH = 'src/cowork/holder/loop.py'"),
        ("cli/_lazy.py", "cli/test_lazy.py", "from cowork.cli import _lazy"),
        ("errors.py", "test_errors.py", "from cowork import errors"),
    ],
)
def test_a_module_named_by_its_test_file_is_fine(tmp_path: Path, module: str, test_file: str, text: str) -> None:
    write(tmp_path / "src" / module, "x = 1\n")
    write(tmp_path / "unit" / test_file, text)
    assert untested(tmp_path / "src", tmp_path / "unit") == []
    assert orphans(tmp_path / "src", tmp_path / "unit") == []


@pytest.mark.parametrize(
    "text",
    ["", "import cowork", "from cowork.wire import framing", "from frames import x", "# cowork.wire.frames"],
)
def test_a_test_file_that_does_not_name_its_module_is_reported(tmp_path: Path, text: str) -> None:
    write(tmp_path / "src/wire/frames.py", "x = 1\n")
    write(tmp_path / "unit/wire/test_frames.py", text)
    assert len(untested(tmp_path / "src", tmp_path / "unit")) == 1


def test_a_test_file_in_the_wrong_place_is_missing_and_orphaned(tmp_path: Path) -> None:
    write(tmp_path / "src/wire/frames.py", "x = 1\n")
    write(tmp_path / "unit/test_frames.py", "import cowork.wire.frames\n")
    assert untested(tmp_path / "src", tmp_path / "unit") == [
        "wire/frames.py: tests/unit/wire/test_frames.py is missing"
    ]
    assert orphans(tmp_path / "src", tmp_path / "unit") == ["test_frames.py"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("__init__.py", "", False),
        ("__init__.py", '"""Doc."""\nfrom cowork.wire.frames import x\n__all__ = ["x"]\n', False),
        ("__init__.py", "def f() -> None: ...\n", True),
        ("__init__.py", "LIMIT = 1\n", True),
        ("__main__.py", "pass\n" * (THIN_ENTRY_POINT - 1), False),
        ("__main__.py", "if x:\n" + "    pass\n" * (THIN_ENTRY_POINT - 1), True),
        ("frames.py", "", True),
    ],
)
def test_which_modules_need_tests(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    write(tmp_path / name, text)
    assert needs_tests(tmp_path / name) is expected
