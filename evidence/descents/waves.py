"""Means of waves in the plane, which are far from convex, with their curvature along steps."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PLACES, SHARES = (x / 2 for x in np.polynomial.legendre.leggauss(24))
PLACES += 0.5  # nodes and weights on [0, 1]


class Waves(NamedTuple):
    r"""Means of waves :math:`\cos(a_k^TW + b_k)` in the plane, a stack of them.

    Attributes:
        a: (runs, waves, 2).
        b: (runs, waves).
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]

    def slopes(self, W: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient of each wave, (runs, waves, 2)."""
        return -np.sin(self._phase(W))[..., None] * self.a

    def bend(
        self, W: NDArray[np.float64], g: NDArray[np.float64], eta: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        r"""Return :math:`\bar c\,\|g\|^2` of the mean of the waves over the steps, by Gauss's rule.

        It is :math:`\int_0^1 2(1 - r)\,c(\eta r)\,dr\,\|g\|^2`.
        """
        across = np.einsum("rkn,rn->rk", self.a, g)
        start, turn = self._phase(W), eta[:, None] * across
        total = np.zeros(len(W))
        for place, weight in zip(PLACES, SHARES, strict=True):
            waves = np.cos(start - place * turn)
            total -= weight * 4 * (1 - place) * (waves * across**2).mean(1)
        return total

    def steepest(
        self, W: NDArray[np.float64], g: NDArray[np.float64], eta: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the largest eigenvalue of the mean's Hessian at the nodes along the steps."""
        at = W - PLACES[:, None, None] * eta[:, None] * g
        waves = np.cos(np.einsum("rkn,prn->prk", self.a, at) + self.b)
        H = -np.einsum("prk,rki,rkj->prij", waves, self.a, self.a) / self.b.shape[1]
        return np.linalg.eigvalsh(H)[..., -1].max(0)

    def _phase(self, W: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.einsum("rkn,rn->rk", self.a, W) + self.b
