"""Mutants of a module's functions: small changes that its tests should notice. Pure, but for `Run` (a pytest plugin).

`python -m harness.bench.mutation JOB` is a process of its own, for it forks: each mutant's tests run in a child, in
which one function has the mutant's code.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

LONGEST_S = 20  # of processor time; who takes longer runs without an end, and that is noticed
LONGEST_WALL_S = 600
EXAMPLES = 20  # of each generated test
MOST_BYTES = 4 << 30  # of memory
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.RShift: ast.LShift, ast.Mod: ast.Mult,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
Change = Callable[[Any], None]


@dataclass(frozen=True)
class Mutant:
    """A change of one function: the module's and function's names, and a part's text before and after."""

    module: str
    function: str
    before: str
    after: str
    line: int
    node: int  # its place among the function's nodes
    kind: str
    part: int = 0  # which of several of that kind

    @property
    def name(self) -> str:
        """What it is called in lists: without the line, which other changes move."""
        return f"{self.module}.{self.function}: `{self.before}` becomes `{self.after}`"


def mutants(source: str, module: str) -> list[Mutant]:
    """Return all mutants of a module's functions and methods; the words of errors and docstrings have none."""
    tree = ast.parse(source)
    return [one for name, function in functions(tree) for one in _of(function, module, name)]


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield a module's functions and its classes' methods, with their qualified names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, ast.FunctionDef))


def _of(function: ast.FunctionDef, module: str, name: str) -> Iterator[Mutant]:
    skipped = _skipped(function)
    for place, node in enumerate(ast.walk(function)):
        if id(node) in skipped:
            continue
        for kind, part, _ in _changes(node):
            changed = copy.deepcopy(node)
            shown = _shown(node, kind, part)
            next(change for its, number, change in _changes(changed) if (its, number) == (kind, part))(changed)
            line = getattr(node, "lineno", function.lineno)
            yield Mutant(module, name, shown, _shown(changed, kind, part), line, place, kind, part)


def _skipped(function: ast.FunctionDef) -> set[int]:
    """Return the nodes in which nothing is changed: annotations, docstrings, and the words of errors."""
    roots: list[ast.AST | None] = []
    for node in ast.walk(function):
        match node:
            case ast.arg(annotation=found) | ast.AnnAssign(annotation=found) | ast.FunctionDef(returns=found):
                roots.append(found)
            case ast.Expr(value=ast.Constant() as found):
                roots.append(found)
            case ast.Raise(exc=found) | ast.Assert(msg=found):
                roots.append(found)
    return {id(node) for root in roots if root is not None for node in ast.walk(root)}


def _changes(node: ast.AST) -> Iterator[tuple[str, int, Change]]:  # noqa: PLR0912 - a table of nodes
    """Yield what can be changed in a node: the kind, which of several, and what does it to the node."""
    match node:
        case ast.Compare(ops=operators):
            for place, one in enumerate(operators):
                if type(one) in COMPARISONS:
                    yield "comparison", place, _comparison(place)
        case ast.BoolOp():
            yield "and/or", 0, _set("op", lambda one: ast.Or() if isinstance(one.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield "not", 0, _set("operand", lambda one: ast.UnaryOp(ast.Not(), one.operand))
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield "operator", 0, _set("op", lambda one: OPERATORS[type(one.op)]())
        case ast.Constant(value=bool()):
            yield "constant", 0, _set("value", lambda one: not one.value)
        case ast.Constant(value=int() | float()):
            yield "constant", 0, _set("value", lambda one: one.value + 1)
        case ast.If() | ast.IfExp():
            yield "condition", 0, _set("test", lambda one: ast.UnaryOp(ast.Not(), one.test))
        case ast.comprehension(ifs=conditions):
            for place in range(len(conditions)):
                yield "filter", place, _filter(place)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield "name", 0, _set("id", lambda one: NAMES[one.id])
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield "return", 0, _set("value", lambda _: ast.Constant(None))
        case ast.Raise():
            yield "raise", 0, _set("exc", lambda _: None)
        case ast.Slice(lower=lower, upper=upper, step=step) if lower or upper or step:
            yield "slice", 0, _whole_slice


def _set(field: str, value: Callable[[Any], object]) -> Change:
    return lambda node: setattr(node, field, value(node))


def _comparison(place: int) -> Change:
    def change(node: ast.Compare) -> None:
        node.ops[place] = COMPARISONS[type(node.ops[place])]()

    return change


def _filter(place: int) -> Change:
    def change(node: ast.comprehension) -> None:
        node.ifs[place] = ast.Constant(True)

    return change


def _whole_slice(node: ast.Slice) -> None:
    node.lower = node.upper = node.step = None


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _shown(node: Any, kind: str, part: int) -> str:
    if kind == "filter":
        return f"if {ast.unparse(node.ifs[part])}"
    if kind == "condition":
        return f"if {ast.unparse(node.test)}"
    if kind == "raise":
        return ast.unparse(node) if node.exc else "pass"
    return ast.unparse(node)


def code(source: str, path: str, mutant: Mutant) -> CodeType:
    """Return the compiled code of a mutant's function."""
    tree = ast.parse(source)
    function = next(found for name, found in functions(tree) if name == mutant.function)
    node = list(ast.walk(function))[mutant.node]
    if mutant.kind == "raise":
        _Without(node).visit(function)
    else:
        next(change for kind, part, change in _changes(node) if (kind, part) == (mutant.kind, mutant.part))(node)
    ast.fix_missing_locations(tree)
    left: list[CodeType] = [compile(tree, path, "exec")]
    while left:
        found = left.pop()
        if found.co_qualname == mutant.function:
            return found
        left += [one for one in found.co_consts if isinstance(one, CodeType)]
    raise LookupError(mutant.function)


class _Without(ast.NodeTransformer):
    """Puts `pass` in the place of a statement."""

    def __init__(self, statement: ast.AST) -> None:
        self._statement = statement

    def visit(self, node: ast.AST) -> Any:
        """Return what stands in a node's place."""
        return ast.copy_location(ast.Pass(), node) if node is self._statement else self.generic_visit(node)


def function_of(module: ModuleType, name: str) -> FunctionType:
    """Return a module's function or method as it was written, without its decorators."""
    found: Any = module
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, cached_property):
        found = found.func
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    made = inspect.unwrap(found)
    assert isinstance(made, FunctionType)
    return made


@dataclass(frozen=True)
class MutationJob:
    """What a process is to do: each judge's mutants, and the files of its tests. ``out``: a line of JSON of each."""

    judges: dict[str, tuple[list[Mutant], list[str]]]
    out: Path
    top: Path


class Run:
    """A pytest plugin: in place of the tests' one run, one of them for each mutant."""

    def __init__(self, job: MutationJob) -> None:
        self._job = job

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run each judge's tests on each of its mutants, and say of each whether they noticed."""
        with self._job.out.open("a", encoding="utf-8") as stream:
            for judge, (wanted, files) in self._job.judges.items():
                paths = {self._job.top / file for file in files}
                tests = [item for item in session.items if item.path in paths]
                if not tests or _trial(tests):
                    print(json.dumps({"judge": judge, "broken": True}), file=stream, flush=True)
                    continue
                _run_all(judge, wanted, tests, lambda row: print(json.dumps(row), file=stream, flush=True))
        return True


def _run_all(judge: str, wanted: Sequence[Mutant], tests: list[Any], say: Callable[[dict[str, object]], None]) -> None:
    module = importlib.import_module(judge)
    path = str(module.__file__)
    source = Path(path).read_text(encoding="utf-8")
    for mutant in wanted:
        function, made = function_of(module, mutant.function), code(source, path, mutant)
        noticed = _trial(tests, function, made)
        if 0 < noticed <= len(tests):  # who noticed this one is asked first about the next
            tests.insert(0, tests.pop(noticed - 1))
        say({"judge": judge, "mutant": asdict(mutant), "survives": not noticed})


def _trial(tests: Sequence[Any], function: FunctionType | None = None, made: CodeType | None = None) -> int:
    """Run tests in a child whose `function` has other code; return 0 when all pass, else more: the first's number."""
    from _pytest.runner import runtestprotocol

    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status if status >= 0 else len(tests) + 1
    found = len(tests) + 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_S, LONGEST_S + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        signal.alarm(LONGEST_WALL_S)
        if function is not None and made is not None:
            function.__code__ = made
        found = 0
        for number, item in enumerate(tests, 1):
            reports = runtestprotocol(item, log=False, nextitem=tests[number] if number < len(tests) else None)
            if any(report.failed for report in reports):
                found = number
                break
    except BaseException:  # noqa: BLE001 - whatever it was, it was noticed
        found = len(tests) + 1
    finally:
        os._exit(min(found, 250))


def main() -> int:
    """Do the job whose JSON stands in a file."""
    import hypothesis
    import pytest

    words = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    judges = {name: ([Mutant(**one) for one in made], files) for name, (made, files) in words["judges"].items()}
    job = MutationJob(judges, Path(words["out"]), Path(words["top"]))
    # few examples, the same ones each time; what was found is not made smaller, for nobody looks at it
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", phases=phases, max_examples=EXAMPLES, derandomize=True, database=None, deadline=None
    )
    hypothesis.settings.load_profile("mutants")
    files = sorted({str(job.top / file) for _, found in judges.values() for file in found})
    os.chdir(job.top)
    options = ["-q", "--quick", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={job.out.parent / 'pytest'}"]
    return int(pytest.main([*options, *files], plugins=[Run(job)]))


if __name__ == "__main__":
    sys.exit(main())
