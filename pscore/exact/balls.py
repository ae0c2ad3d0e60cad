"""Ball arithmetic: what proofs with rounding included need of Arb, through python-flint.

Floats go in as the rational numbers they are, every rounding is accounted for, and a comparison
holds only if it holds for every number enclosed.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

try:
    from flint import arb, arb_mat, ctx
except ImportError as error:
    raise ImportError("ball arithmetic needs python-flint: pip install 'pscore[exact]'") from error

Array: TypeAlias = NDArray[np.float64]
BITS = 128


def least_eigenvalue_bound(matrix: arb_mat) -> arb:
    """Return a lower bound of the eigenvalues of a symmetric matrix, or 0 if none above 0 is found.

    An eigenvalue computed in floats proposes it, an LDLᵀ decomposition in balls proves it: if
    all pivots of ``A − μI`` are certain to be positive, all eigenvalues of A exceed μ.
    """
    middle = np.array([[float(entry.mid()) for entry in row] for row in matrix.tolist()])
    values = np.linalg.eigvalsh((middle + middle.T) / 2)
    proposed = float(values[0]) - 1e-10 * float(np.abs(values).max())
    shifted = matrix - proposed * diagonal([arb(1)] * matrix.nrows())
    return arb(proposed) if proposed > 0 and is_positive_definite(shifted) else arb(0)


def is_positive_definite(matrix: arb_mat) -> bool:
    """Return whether every symmetric matrix enclosed is certain to be positive definite."""
    rows = matrix.tolist()
    for k, pivot in enumerate(rows):
        if not pivot[k] > 0:
            return False
        for row in rows[k + 1 :]:
            factor = row[k] / pivot[k]
            row[k:] = [x - factor * y for x, y in zip(row[k:], pivot[k:], strict=True)]
    return True


def norm_bound(matrix: arb_mat) -> arb:
    """Return an upper bound of a matrix's operator norm, all but equal to it.

    The float's singular value, raised a little, is proved by ``s² I − WᵀW > 0``; where that is not
    certain, the Euclidean norm is taken.
    """
    middle = np.array([[float(entry.mid()) for entry in row] for row in matrix.tolist()])
    euclidean = length_of(matrix.entries())
    proposed = arb(float(np.linalg.norm(middle, 2)) * (1 + 1e-10))
    gram = (
        matrix.transpose() * matrix
        if matrix.ncols() <= matrix.nrows()
        else matrix * matrix.transpose()
    )
    over = proposed**2 * diagonal([arb(1)] * gram.nrows()) - gram
    return proposed if is_positive_definite(over) else euclidean


def precision() -> AbstractContextManager:
    """Return the context in which Arb computes with `BITS` bits."""
    return ctx.workprec(BITS)


def exact_float(name: str, value: Any) -> float:
    """Return a number as the float that it is equal to.

    Raises:
        ValueError: if there is none, as for a third or for ``2**53 + 1``.
    """
    result = float(value)
    if not isinstance(value, Tensor) and result != value:
        raise ValueError(f"{name} must be a number that a float is equal to; got {value!r}")
    return result


def in_float64(name: str, values: Any) -> Tensor:
    """Return the same numbers in float64, which holds those of every floating type of torch."""
    array = values if hasattr(values, "dtype") else np.asarray(values)
    given = torch.as_tensor(array)
    double = given.double()
    if not given.is_floating_point() and given.tolist() != double.tolist():
        raise ValueError(f"{name} must be numbers that a float64 is equal to")
    return double


def exact_matrix(values: Tensor) -> arb_mat:
    """Return a matrix of floats as it is."""
    return arb_mat([[arb(x) for x in row] for row in values.tolist()])


def diagonal(entries: Sequence[arb]) -> arb_mat:
    """Return a diagonal matrix."""
    n = len(entries)
    return arb_mat([[entries[i] if i == j else arb(0) for j in range(n)] for i in range(n)])


def length_of(entries: Sequence[arb]) -> arb:
    """Return the Euclidean length."""
    return sum((x * x for x in entries), arb(0)).sqrt()


def below(x: arb) -> float:
    """Return a float below all numbers enclosed."""
    return float(np.nextafter(float(x.lower()), -np.inf))


def above(x: arb) -> float:
    """Return a float above all numbers enclosed."""
    return float(np.nextafter(float(x.upper()), np.inf))


def float_matrix(values: Array, radius: float = 0.0) -> arb_mat:
    """Return floats as they are, or as balls around them."""
    if not radius:
        return exact_matrix(torch.from_numpy(np.ascontiguousarray(values)))
    return arb_mat([[arb(float(x), radius) for x in row] for row in values])


def norm_above(matrix: arb_mat) -> arb:
    """Return the Euclidean norm, rounded up, which no operator norm exceeds."""
    # A ball around zero times itself holds negative numbers, which have no root.
    total = sum((x * x for x in matrix.entries()), arb(0))
    return arb(total.upper()).sqrt()


def minus_identity(matrix: arb_mat) -> arb_mat:
    """Return ``A − I``."""
    rows = matrix.tolist()
    for i, row in enumerate(rows):
        row[i] -= 1
    return arb_mat(rows)


def dot(one: Sequence[arb], other: Sequence[arb]) -> arb:
    """Return the scalar product."""
    return sum((x * y for x, y in zip(one, other, strict=True)), arb(0))
