"""The structure of the source tree: no cycle of imports between files, and small packages.

import-linter (`tox -e lint`) holds the packages in layers; it does not look within one of them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "tmux_fanout"
TESTS = Path(__file__).parent


def _modules() -> dict[str, Path]:
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def _imports(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """Return the modules of ours that a file imports, at its top, in functions, or for types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= submodules & modules.keys()
            if submodules - modules.keys() and node.module:
                found.add(node.module)
    return found & modules.keys()


def _cycle(imports: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that are on a cycle or lead to one; none if there is no cycle."""
    left = {module: set(targets) for module, targets in imports.items()}
    while leaves := {module for module, targets in left.items() if not targets}:
        left = {m: targets - leaves for m, targets in left.items() if m not in leaves}
    return sorted(left)


def test_no_files_import_each_other_in_a_cycle() -> None:
    """Following imports from any file never leads back to it."""
    modules = _modules()
    imports = {
        module: _imports(path, modules) - {module}
        for module, path in modules.items()
        if module != "tmux_fanout"  # its names are loaded when they are first used
    }
    assert _cycle({m: targets - {"tmux_fanout"} for m, targets in imports.items()}) == []


def test_a_cycle_is_found() -> None:
    """The search above finds a cycle, and only what leads to it."""
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["a", "b", "c"]


def test_packages_are_small() -> None:
    """No package has more than a dozen files; directly in `core` there are ten at most."""
    packages = {path.parent for path in PACKAGE.rglob("*.py")}
    sizes = {str(p.relative_to(SOURCE)): len(list(p.glob("*.py"))) for p in packages}
    assert {name: size for name, size in sizes.items() if size > 12} == {}
    assert sizes["tmux_fanout/core"] <= 10


def test_settings_load_nothing_that_runs() -> None:
    """Importing the settings loads neither trio nor the engine, statistics or output."""
    script = (
        "import sys, tmux_fanout.core.config.settings\n"
        "print(*sorted(name for name in sys.modules if 'tmux_fanout.' in name or name == 'trio'))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    unwanted = ("trio", "tmux_fanout.engine", "tmux_fanout.core.report", "tmux_fanout.core.results")
    assert [name for name in loaded if name.startswith(unwanted)] == []


def _bases(path: Path) -> dict[str, set[str]]:
    """Return the names of the bases of each class of a file."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
            found[node.name] = {base.id for base in bases if isinstance(base, ast.Name)}
    return found


def _compiled() -> set[Path]:
    """Return the modules that the compiled build compiles."""
    hooks = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    return {SOURCE.parent / each for each in hooks["targets"]["wheel"]["hooks"]["mypyc"]["include"]}


def test_subclasses_of_compiled_classes_are_compiled() -> None:
    """mypyc does not allow others, but for classes that say so."""
    compiled = _compiled()
    final = {
        name
        for path in compiled
        for name in _bases(path)
        if f"@mypyc_attr(allow_interpreted_subclasses=True)\nclass {name}" not in path.read_text()
    }
    assert final
    for path in {*SOURCE.rglob("*.py"), *TESTS.rglob("*.py")} - compiled:
        assert not [(path, name) for name, bases in _bases(path).items() if bases & final]


def test_no_attribute_of_a_compiled_class_is_deleted() -> None:
    """mypyc does not allow that: those that are not always set are set to None again."""
    declared = {
        each.target.id
        for path in _compiled()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    assert "group" in declared
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Delete) else []
            deleted = {each.attr for each in targets if isinstance(each, ast.Attribute)}
            assert not deleted & declared, path


def test_no_slice_in_a_compiled_module_does_anything() -> None:
    """mypyc evaluates the bounds of a slice twice, unless it is one of a list, tuple or text."""
    for path in _compiled():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Slice):
                calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
                assert not [each for each in calls if ast.unparse(each).startswith("self.")], path
