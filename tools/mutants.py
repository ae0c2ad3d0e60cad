"""Changes a file in one place after another, and asks whether its tests notice: `make mutants`.

Every constant off by one or by a tenth, every comparison, sign and operation turned round, every
factor and term dropped, in the files of `TESTS`. A change that no test notices is a formula that
nothing holds; one that none can notice is listed in `EQUIVALENT`, with the reason.

Not mutmut: it leaves alone what is decorated, as both derivatives in `pscore.twice` are, and what
lies outside functions, and adds no operators of one's own (a tenth off). Not cosmic-ray: it starts
pytest anew for each change, which here means four to nine seconds of imports. Here one process
imports the libraries, and forks for each change, of which nothing is written to disk: a hook
hands the changed source to Python's import. Tests that failed before go first.
"""

import argparse
import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import wait
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("pscore", "evidence", "tests", "tools")

# Which tests must notice a change in a file: its own, of the same name; of the probe, that it
# prepares the steps that it measures is tested beside what it prepares them with.
TESTS = {
    f"pscore/{name}.py": [f"tests/{folder}/test_{Path(name).name}.py"]
    for folder, names in {
        "library": ("certificate", "curvature", "probe", "twice", "loss"),
        "experiments": ("experiments/share", "experiments/training", "experiments/settings"),
    }.items()
    for name in names
}
TESTS |= {
    f"pscore/exact/{name}.py": [f"tests/library/test_{tests}.py"]
    for tests, names in {
        "gauss_newton": ("gauss_newton", "balls"),
        "minimum": ("minimum", "form", "point", "problem", "finish"),
    }.items()
    for name in names
}
TESTS["pscore/probe.py"] += ["tests/library/test_probe_elsewhere.py"]
TESTS["pscore/measurement.py"] = list(TESTS["pscore/probe.py"])
TESTS["pscore/probe.py"] += TESTS["pscore/twice.py"]

# What no test can notice: why, and where, with the line as it is after the change.
EQUIVALENT = {
    "a shortcut: the general formula gives the same there": [
        "certificate.curvature_bounds: if H == 0: # no layer lies between the two that a second "
        "derivative moves",
        "certificate._spectral_norm: if 0 in matrix.shape[-2:]:",
        "certificate._spectral_norm: if 1 in matrix.shape[-1:]:",
        "balls.norm_bound: if matrix.ncols() < matrix.nrows()",
    ],
    "all layers have one type and one stack": [
        "curvature._sensitivities: leaving = "
        "[torch.eye(network.widths[-1]).to(W[-1]) * S[-1].unsqueeze(-2)]",
        "curvature._sensitivities: leaving = "
        "[torch.eye(network.widths[-1]).to(W[1]) * S[-1].unsqueeze(-2)]",
        "curvature._residual_term: total = W[-1].new_zeros(*W[0].shape[:-2], m, m)",
        "curvature._residual_term: total = W[1].new_zeros(*W[0].shape[:-2], m, m)",
        "curvature._residual_term: total = W[0].new_zeros(*W[-1].shape[:-2], m, m)",
        "curvature._residual_term: total = W[0].new_zeros(*W[1].shape[:-2], m, m)",
        "gauss_newton.GaussNewton.__init__: if W[-1].ndim != 2:",
        "gauss_newton.GaussNewton.__init__: if W[1].ndim != 2:",
    ],
    "a diagonal matrix may be multiplied by rows or by columns": [
        "curvature._sensitivities: leaving = "
        "[torch.eye(network.widths[-1]).to(W[0]) * S[-1].unsqueeze(-1)]",
    ],
    "a sum over two axes, in either order": [
        "loss.mean_square: return torch.linalg.vecdot(e, e, dim=-1).sum(-1) / (2 * e.shape[-2])",
    ],
    "the default is only looked at for its sign": [
        "loss.checked: weight_decay: float = 1.0,",
    ],
    "how exactly it is computed is a choice: what is claimed is proved for any": [
        "balls: BITS = 127",
        "balls: BITS = 129",
        "gauss_newton.GaussNewton.cell_radius: def cell_radius(self, steps: int = 29) -> float:",
        "gauss_newton.GaussNewton.cell_radius: def cell_radius(self, steps: int = 31) -> float:",
        "gauss_newton.GaussNewton.largest_ball: "
        "def largest_ball(self, steps: int = 29) -> BallCertificate:",
        "gauss_newton.GaussNewton.largest_ball: "
        "def largest_ball(self, steps: int = 31) -> BallCertificate:",
        *(
            f"gauss_newton.GaussNewton.largest_ball: low, high = {ends}"
            for ends in (
                "(1.1e-06, 1e3) if best.holds else (1e-12, 1e-6)",
                "(9e-07, 1e3) if best.holds else (1e-12, 1e-6)",
                "(1e-6, 1100) if best.holds else (1e-12, 1e-6)",
                "(1e-6, 900) if best.holds else (1e-12, 1e-6)",
                "(1e-6, 1e3) if best.holds else (1.1e-12, 1e-6)",
                "(1e-6, 1e3) if best.holds else (9e-13, 1e-6)",
                "(1e-6, 1e3) if best.holds else (1e-12, 1.1e-06)",
                "(1e-6, 1e3) if best.holds else (1e-12, 9e-07)",
            )
        ),
        *(
            f"balls.least_eigenvalue_bound: proposed = float(values[0]) - {margin}"
            for margin in (
                "1.1e-10 * float(np.abs(values).max())",
                "9e-11 * float(np.abs(values).max())",
                "1e-10 * float(values.max())",
                "1e-10 * float(np.abs(values).min())",
            )
        ),
        "balls.norm_bound: proposed = arb(float(np.linalg.norm(middle, 2)) * (1 + 1.1e-10))",
        "balls.norm_bound: proposed = arb(float(np.linalg.norm(middle, 2)) * (1 + 9e-11))",
    ],
    "Arb's > and >= differ if an enclosure ends at 0 exactly, which with a root in it none does": [
        'gauss_newton.GaussNewton.ball: "the curvature may vanish in the ball": least >= 0,',
        'gauss_newton.GaussNewton.ball: "the gradient may be too large for a critical point": '
        "self.gradient <= mean * radius,",
    ],
    "0 is returned either way": [
        "balls.least_eigenvalue_bound: "
        "return arb(proposed) if proposed >= 0 and is_positive_definite(shifted) else arb(0)",
    ],
    "python-flint takes a number for that multiple of the identity": [
        "balls.least_eigenvalue_bound: shifted = matrix - proposed",
        "balls.norm_bound: over = (proposed**2) - gram",
    ],
    "no later layer is fed anything, and a bound below 0 lets it pass as 0 does": [
        "gauss_newton.GaussNewton._one_stays: delta = arb(-1) # all units are off, and stay so",
    ],
    "no sum of what is not negative is below 0": [
        "gauss_newton._row_sum: largest = arb(-1)",
    ],
    "step 0 is named anyway": [
        "probe.every: def every(k: int, first: int = 1) -> Callable[[int], bool]:",
    ],
    "only time: more is computed than is used": [
        "twice._ConvolutionBackward.forward: ctx.set_materialize_grads(True)",
        "twice._BatchNormBackward.forward: ctx.set_materialize_grads(True)",
        "twice._ConvolutionBackward.backward: if ctx.needs_input_grad[0]:",
        "twice._ConvolutionBackward.backward: if ctx.needs_input_grad[2]:",
        "twice._ConvolutionBackward.backward: "
        "by_x = _convolution_backward(gy, x, vw, ctx.how, [True, True, False])[0]",
        "twice._ConvolutionBackward.backward: "
        "by_x = _convolution_backward(gy, x, vw, ctx.how, [True, False, True])[0]",
        "twice._ConvolutionBackward.backward: "
        "by_weight = _convolution_backward(gy, vx, weight, ctx.how, [True, True, False])[1]",
        "twice._ConvolutionBackward.backward: "
        "by_weight = _convolution_backward(gy, vx, weight, ctx.how, [False, True, True])[1]",
    ],
    "torch's kernels do not read the size of the bias": [
        f"twice._convolution_backward: sizes = {sizes}"
        for sizes in (
            "[weight.shape[-1]] if wanted[2] else None",
            "[weight.shape[1]] if wanted[2] else None",
            "[weight.shape[0]] if (not wanted[2]) else None",
            "[weight.shape[0]] if wanted[1] else None",
        )
    ],
    "torch's function hands all its arguments on": [
        f"twice._batch_norm: {default},"
        for default in (
            "training: bool = True",
            "momentum: float = 0.09",
            "momentum: float = 0.11",
            "eps: float = 1.1e-05",
            "eps: float = 9e-06",
        )
    ],
    "torch's own kernel keeps nothing in reserve": [
        "twice._norm_backward: kernel, reserve = how or (TORCHS_KERNEL, scale.new_empty(1))",
    ],
    "it divides without a remainder": [
        "twice._BatchNormBackward.backward: M = gy.numel() / gy.shape[1]",
    ],
}

REASONS = {name: reason for reason, names in EQUIVALENT.items() for name in names}

OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
CHAINS = [(ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.Pow,)]
FREE = ast.Add | ast.Mult
PAIRS = [("min", "max"), ("amin", "amax"), ("any", "all"), ("ceil", "floor")]
PAIRS += [("lower", "upper"), ("sum", "mean")]
OPPOSITES = dict(PAIRS) | {new: old for old, new in PAIRS}
DROPPED = ("sqrt", "square", "abs", "clip")


@dataclass(frozen=True)
class Mutant:
    """A file with one change."""

    file: str
    line: int
    name: str  # the function, and the line as it is after the change
    source: str


SKIPPED = (ast.Import, ast.ImportFrom, ast.Raise, ast.JoinedStr)  # what an error says is prose
UNREAD = ("annotation", "returns", "decorator_list", "bases")
ATOMS = (ast.Constant, ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.List)


def nodes(node: ast.AST, where: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node that may be changed, with the function that it is in."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    # `strict` of zip is there to fail when somebody errs.
    strict = isinstance(node, ast.keyword) and node.arg == "strict"
    if docstring or strict or isinstance(node, SKIPPED):
        return
    yield node, where
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}"
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in UNREAD:
                yield from nodes(child, where)


class Text:
    """A source in bytes, as `ast` counts its columns."""

    def __init__(self, source: str) -> None:
        """Find where its lines start."""
        self.bytes = source.encode()
        lines = self.bytes.splitlines(keepends=True)
        self.starts = [sum(map(len, lines[:i])) for i in range(len(lines))]

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node starts and ends."""
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.AST) -> str:
        """Return a node's text, in brackets where it might need them."""
        text = self.bytes[slice(*self.span(node))].decode()
        return text if isinstance(node, ATOMS) else f"({text})"

    def operator(self, left: ast.AST, kind: ast.AST, right: ast.AST, more: str = "") -> Iterator:
        """Turn round the operator that stands between two nodes."""
        if type(kind) in OPERATORS:
            old, new = (word + more for word in OPERATORS[type(kind)])
            start, end = self.span(left)[1], self.span(right)[0]
            at = start + self.bytes[start:end].index(old.encode())
            yield at, at + len(old), new

    def function(self, node: ast.Call) -> Iterator:
        """Put a function's opposite in its place, or take it away."""
        start, end = self.span(node.func)
        name = ast.unparse(node.func).split(".")[-1]
        if name in OPPOSITES:
            yield end - len(name), end, OPPOSITES[name]
        if name in DROPPED:
            of_a_module = ast.unparse(node.func).split(".")[0] in ("math", "np", "torch", name)
            yield *self.span(node), self.of(node.args[0] if of_a_module else node.func.value)

    def changes(self, node: ast.AST) -> Iterator[tuple[int, int, str]]:
        """What the rules make of one node: where the text changes, and into what."""
        whole, others = self.span(node) if hasattr(node, "lineno") else (0, 0), []
        match node:
            case ast.Constant(value=bool(value)):
                others = [repr(not value)]
            case ast.Constant(value=int(value)):
                others = [repr(value + 1), repr(value - 1)]
            case ast.Constant(value=float(value)):
                others = [f"{1.1 * value:.12g}", f"{0.9 * value:.12g}"] if value else ["1.0"]
            case ast.UnaryOp(operand=operand) if not isinstance(operand, ast.Constant):
                others = [self.of(operand)]
            case ast.BinOp(left=left, op=op, right=right):
                yield from self.operator(left, op, right)
                chain = next((kinds for kinds in CHAINS if isinstance(op, kinds)), ())
                # a · b · c is (a · b) · c: one factor at a time, and none that divides
                longer = isinstance(left, ast.BinOp) and isinstance(left.op, chain)
                others = [self.of(left)] if chain else []
                others += [self.of(right)] if isinstance(op, FREE) and not longer else []
            case ast.AugAssign(target=target, op=op, value=value):
                yield from self.operator(target, op, value, "=")
                was = " ".join(self.bytes[slice(*whole)].decode().split())
                others = [f"{self.of(target)} = {self.of(value)}", f"pass  # {was}"]
            case ast.Compare(left=left, ops=ops, comparators=right):
                for a, op, b in zip([left, *right], ops, right, strict=False):
                    yield from self.operator(a, op, b)
            case ast.BoolOp(op=op, values=values):
                for a, b in pairwise(values):
                    yield from self.operator(a, op, b)
            case ast.Call():
                yield from self.function(node)
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                if isinstance(test, ATOMS):
                    yield *self.span(test), f"(not {self.of(test)})"
        for other in others:
            yield *whole, other


def mutants(file: str) -> Iterator[Mutant]:
    """Every change to a file; those that are the same text are one."""
    source, seen = Path(file).read_text(encoding="utf-8"), set()
    text, module = Text(source), Path(file).stem
    found = [
        (*how, where) for node, where in nodes(ast.parse(source)) for how in text.changes(node)
    ]
    for start, end, new, where in sorted(found):
        before, after = text.bytes[:start], text.bytes[end:]
        changed = (before + new.encode() + after).decode()
        line = before.split(b"\n")[-1].decode() + new + after.split(b"\n")[0].decode()
        if changed not in seen:
            seen.add(changed)
            name = f"{module}{where}: {' '.join(line.split())}"
            yield Mutant(file, before.count(b"\n") + 1, name, changed)


class Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a text in place of its file."""

    def __init__(self, mutant: Mutant) -> None:
        """Take the text and the name under which it is imported."""
        self.module, self.mutant = mutant.file.removesuffix(".py").replace("/", "."), mutant
        super().__init__(self.module, str(Path.cwd() / mutant.file))

    def find_spec(self, name, path=None, target=None):
        """Find that module, and no other."""
        return importlib.util.spec_from_loader(name, self) if name == self.module else None

    def get_code(self, name):
        """Compile the text."""
        return compile(self.mutant.source, self.path, "exec")


class Observer:
    """A plugin of pytest: orders the tests, and remembers which failed."""

    def __init__(self, killers: Counter[str]) -> None:
        """Take how often each test has failed before."""
        self.killers, self.failed = killers, ""

    def pytest_configure(self, config) -> None:
        """Let hypothesis be content with the first example that fails."""
        import hypothesis

        phases = hypothesis.Phase.explicit, hypothesis.Phase.generate
        hypothesis.settings.register_profile("first", hypothesis.settings(), phases=phases)
        hypothesis.settings.load_profile("first")

    def pytest_collection_modifyitems(self, items) -> None:
        """Put first what failed most often."""
        items.sort(key=lambda item: -self.killers[item.nodeid])

    def pytest_runtest_logreport(self, report) -> None:
        """Remember the first that failed."""
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report) -> None:
        """Remember a file that cannot be imported."""
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} cannot be imported"


def run_tests(mutant: Mutant, killers: Counter[str], room: Path, limit: int, answer) -> None:
    """In a process of its own: the tests of a file, that file being the mutant's."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.meta_path.insert(0, Changed(mutant))
    seen = Observer(killers)
    plain = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={room}"]
    code = pytest.main([*plain, *TESTS[mutant.file]], [seen])
    shutil.rmtree(room, ignore_errors=True)
    answer.send((int(code), seen.failed, time.process_time()))
    answer.close()
    os._exit(0)


def judged(queue: list[Mutant], limits: dict[str, int], jobs: int) -> Iterator[tuple]:
    """Run the tests for each mutant; give it with the test that failed, if any, and seconds."""
    fork, killers = multiprocessing.get_context("fork"), {file: Counter() for file in TESTS}
    running: dict[object, tuple] = {}
    todo = list(enumerate(queue))[::-1]
    while todo or running:
        while todo and len(running) < jobs:
            number, mutant = todo.pop()
            here, there = fork.Pipe(duplex=False)
            room, limit = Path.cwd() / "rooms" / str(number), limits.get(mutant.file, 600)
            given = (mutant, killers[mutant.file], room, limit, there)
            process = fork.Process(target=run_tests, args=given)
            process.start()
            there.close()
            running[here] = mutant, process, limit
        for here in wait(list(running)):
            mutant, process, limit = running.pop(here)
            try:
                code, killer, seconds = here.recv()
            except EOFError:  # it never came to its end, by a crash or by the limit
                code, killer, seconds = 1, "no answer", limit
            process.join()
            here.close()
            killers[mutant.file][killer] += 1
            yield mutant, (killer or f"pytest ends with {code}") if code else "", seconds


def unchanged(file: str) -> Mutant:
    """The file as it is, to see that its tests pass, and how long they take."""
    return Mutant(file, 0, "", Path(file).read_text(encoding="utf-8"))


def report(queue: list[Mutant], jobs: int) -> int:
    """Print what became of each mutant, and the sums; return how many call for work."""
    files = list(dict.fromkeys(mutant.file for mutant in queue))
    limits = {}
    for mutant, failed, seconds in judged([unchanged(file) for file in files], {}, jobs):
        if failed:
            sys.exit(f"{mutant.file}: its tests fail as it is: {failed}")
        limits[mutant.file] = 10 + int(5 * seconds)
    sums, wrong = {file: Counter() for file in files}, []
    for mutant, killer, seconds in judged(queue, limits, jobs):
        listed = REASONS.get(mutant.name)
        verdict = "killed" if killer else "equivalent" if listed else "survived"
        reason = killer.split("::", 1)[-1] or listed or "no test fails"
        if verdict == "survived" or (killer and listed):
            wrong.append(
                f"{verdict}{', but listed as equivalent' if listed else ''}: {mutant.name}"
            )
        sums[mutant.file] += Counter({verdict: 1, "seconds": seconds})
        print(f"{verdict:10} {mutant.file}:{mutant.line} {mutant.name}  ({reason})", flush=True)
    print()
    for file, count in sums.items():
        kinds = ", ".join(f"{count[kind]} {kind}" for kind in ("killed", "survived", "equivalent"))
        print(f"{file:36} {kinds}; {count['seconds']:.0f} s")
    print(*wrong, sep="\n")
    return len(wrong)


def main() -> int:
    """Copy what the tests need, and run them there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="part of a file's or a mutant's name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        for name in COPIED:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, Path(room) / name, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", room)
        os.chdir(room)
        Path("rooms").mkdir()  # for the files that tests write
        sys.path.insert(0, room)
        every = [mutant for file in TESTS for mutant in mutants(file)]
        if stale := REASONS.keys() - {mutant.name for mutant in every}:
            sys.exit("listed as equivalent, but no change to a file: " + "\n".join(sorted(stale)))
        warm_up()
        chosen = [m for m in every if all(part in f"{m.file} {m.name}" for part in arguments.only)]
        return 1 if report(chosen, arguments.jobs) else 0


def warm_up() -> None:
    """Import what all tests import, and nothing of ours."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("torch", "torch._dynamo", "pandas", "flint", "hypothesis", "sklearn.datasets"):
        importlib.import_module(name)
    for name in importlib.import_module("_pytest.config").default_plugins:
        importlib.import_module(f"_pytest.{name}")
    gc.freeze()  # what is here no fork has to look through for garbage


if __name__ == "__main__":
    sys.exit(main())
