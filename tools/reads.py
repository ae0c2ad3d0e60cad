"""Which stored batches the outputs of each cell of a notebook rest on, read from its code.

A batch enters by `stored("mnist")`, or by a function of `evidence` that calls it. From there it is
followed from name to name: what is computed from a batch rests on it, and so does a function that
uses it. The name of a batch may be put together, as in `stored(f"{name}/with")`; then its parts are
looked for among the constants of the cell, and what stays unknown stands for every folder there is.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

PLACE = re.compile(r"\{(\w*)\}")


def pattern(argument: ast.expr) -> str:
    """Return the name of a batch, with ``{x}`` for what the variable x holds."""
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    if isinstance(argument, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else pattern(part.value)
            for part in argument.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
    # A name, or one of a module.
    return f"{{{getattr(argument, 'id', getattr(argument, 'attr', ''))}}}"


def called(call: ast.Call) -> str:
    """Return the last name of what is called: ``logged`` of ``learning_rates.logged(name)``."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def readers(module: str) -> dict[str, tuple[list[str], set[str]]]:
    """Return a module's functions that read stored batches: their parameters, and the patterns."""
    found: dict[str, tuple[list[str], set[str]]] = {"stored": (["name"], {"{name}"})}
    functions = [one for one in ast.parse(module).body if isinstance(one, ast.FunctionDef)]
    while True:  # until no function is found to call another that reads
        before = {name: set(patterns) for name, (_, patterns) in found.items()}
        for one in functions:
            patterns = {each for call in calls(one) for each in patterns_of(call, found)}
            if patterns:
                found[one.name] = ([a.arg for a in one.args.args], patterns)
        if before == {name: set(patterns) for name, (_, patterns) in found.items()}:
            return found


def calls(tree: ast.AST) -> Iterable[ast.Call]:
    """Yield all calls in a piece of code."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def patterns_of(call: ast.Call, known: Mapping[str, tuple[list[str], set[str]]]) -> set[str]:
    """Return what a call reads, with its arguments in the places of the function's parameters."""
    if called(call) not in known:
        return set()
    parameters, patterns = known[called(call)]
    given = dict(zip(parameters, map(pattern, call.args), strict=False))
    given |= {one.arg: pattern(one.value) for one in call.keywords if one.arg}
    return {PLACE.sub(lambda at: given.get(at[1], "{}"), one) for one in patterns}


def matching(one: str, constants: Iterable[str], folders: Sequence[str]) -> set[str]:
    """Return the folders that a pattern may mean, its places filled with constants of the cell."""
    places = PLACE.findall(one)
    if not places:
        return {one} & set(folders)
    filled = set()
    for values in product(sorted(set(constants)), repeat=min(len(places), 2)):
        rest = iter(values)
        filled.add(PLACE.sub(lambda _, rest=rest: next(rest, "*"), one))
    found = {folder for folder in folders for each in filled if each == folder}
    if not found and len(PLACE.sub("", one)) > 1:
        found = {folder for folder in folders if fnmatchcase(folder, PLACE.sub("*", one))}
    return found


def bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement gives a meaning."""
    names = {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return names | {
        node.name
        for node in ast.walk(statement)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def loaded(statement: ast.stmt) -> set[str]:
    """Return the names whose meaning a statement takes from before it, functions' too.

    In a loop or a function, what it names itself is its own; in an assignment the right side comes
    first.
    """
    named = (one for one in ast.walk(statement) if isinstance(one, ast.Name | ast.Attribute))
    names = {
        getattr(one, "id", getattr(one, "attr", ""))
        for one in named
        if isinstance(one.ctx, ast.Load)
    }
    simple = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
    return names if simple else names - bound(statement)


def words(tree: ast.AST) -> set[str]:
    """Return the texts among the constants of a piece of code."""
    found = (one.value for one in ast.walk(tree) if isinstance(one, ast.Constant))
    return {value for value in found if isinstance(value, str) and value}


def batches(
    cells: Sequence[str],
    folders: Sequence[str],
    modules: Mapping[str, str],
) -> list[set[str]]:
    """Return, for each cell, the stored batches that what it shows rests on.

    Args:
        cells: the code, in order.
        folders: the stored batches there are.
        modules: source code that the notebook imports from, by name.
    """
    known = readers("")
    constants_of: dict[str, set[str]] = {}
    for text in modules.values():
        known |= readers(text)
        for one in ast.parse(text).body:
            if isinstance(one, ast.Assign | ast.AnnAssign):
                constants_of |= dict.fromkeys(bound(one), words(one))
    rests: dict[str, set[str]] = {}
    found = []
    for cell in cells:
        lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
        used: set[str] = set()
        tree = ast.parse("\n".join(lines))
        for statement in tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            names = loaded(statement)
            constants = words(tree).union(*(constants_of.get(name, set()) for name in names))
            here = set().union(*(rests.get(name, set()) for name in names))
            reads = set().union(*(patterns_of(call, known) for call in calls(statement)))
            if isinstance(statement, ast.FunctionDef):  # it reads when it is called, for its caller
                known[statement.name] = ([one.arg for one in statement.args.args], reads)
                reads = set()
            for one in reads:
                here |= matching(one, constants, folders)
            rests |= dict.fromkeys(bound(statement), here)
            constants_of |= dict.fromkeys(bound(statement), words(statement))
            used |= here
        found.append(used)
    return found


def stored_folders(root: Path) -> list[str]:
    """Return the names of the stored batches."""
    home = root / "results"
    return sorted(one.parent.relative_to(home).as_posix() for one in home.rglob("trials.parquet"))
