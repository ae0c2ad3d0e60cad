"""The quadratic form whose positive definiteness proves that a minimum on kinks is strict."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pscore.exact.balls import (
    Array,
    arb,
    arb_mat,
    float_matrix,
    minus_identity,
    norm_above,
    precision,
)

# What the cubes may take of the squares; tried one after the other for the largest radius.
_SHARES = (0.5, 0.1, 0.01)


@dataclass
class Form:
    """``(1 − ν) A + ν B + C/ρ − (9/(4ν) − 2) M/4 ρ² I``, the identity on the weights alone.

    Attributes:
        whole: A, with all squares.
        bare: B, without them.
        held: C, what holds the point on its kinks.
        spread: M.
        weights: how many of the rows belong to weights; the others are the kinks'.
    """

    whole: arb_mat
    bare: arb_mat
    held: arb_mat
    spread: arb
    weights: int

    @cached_property
    def _middle(self) -> tuple[Array, ...]:
        parts = (self.whole, self.bare, self.held)
        return tuple(
            np.array([[float(x.mid()) for x in row] for row in one.tolist()]) for one in parts
        )

    def floats(self, radius: float, share: float) -> Array:
        """Return the form's middle at one ρ and ν, in floats."""
        whole, bare, held = self._middle
        total = (1 - share) * whole + share * bare + held / radius
        i = np.arange(self.weights)
        total[i, i] -= (9 / (4 * share) - 2) * float(self.spread.mid()) / 4 * radius**2
        return (total + total.T) / 2

    def largest(self, room: float) -> tuple[float, float]:
        """Return the largest ρ below ``room`` that floats find good, 0 for none, and its ν."""
        return max((self._largest(room * (1 - 1e-9), share), share) for share in _SHARES)

    def _largest(self, high: float, share: float, steps: int = 12) -> float:
        radii = high * 0.25 ** np.arange(30)
        good = next((float(rho) for rho in radii if self._seems_positive(rho, share)), 0.0)
        if good in (0.0, high):
            return good
        low, high = good, 4 * good
        for _ in range(steps):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self._seems_positive(middle, share) else (low, middle)
        return low

    def _seems_positive(self, radius: float, share: float) -> bool:
        total = self.floats(radius, share)
        diagonal = total.diagonal()
        if not (diagonal > 0).all():
            return False
        scaled = total / np.sqrt(np.outer(diagonal, diagonal))
        try:
            np.linalg.cholesky(scaled - 1e-9 * np.eye(len(scaled)))
        except np.linalg.LinAlgError:
            return False
        return True

    def is_positive(self, radius: float, share: float) -> bool:
        """Prove that the form is positive definite at ρ and ν, wherever its balls' numbers are.

        With Y the inverse of a float Cholesky factor, ``‖I − Y M Yᵀ‖ < 1`` makes ``Y M Yᵀ``
        positive definite, and so M, since Y then has an inverse.
        """
        try:
            factor = np.linalg.cholesky(self.floats(radius, share))
        except np.linalg.LinAlgError:
            return False
        with precision():
            rho, nu = arb(radius), arb(share)
            lost = (9 / (4 * nu) - 2) * self.spread / 4 * rho * rho
            rows = ((1 - nu) * self.whole + nu * self.bare + self.held / rho).tolist()
            for i in range(self.weights):
                rows[i][i] -= lost
            Y = float_matrix(np.linalg.inv(factor))
            return bool(norm_above(minus_identity(Y * arb_mat(rows) * Y.transpose())) < 1)
