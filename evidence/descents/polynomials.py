"""Functions whose change over a step is a rational number: polynomials, and folded parabolas."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Quartic(NamedTuple):
    r"""The polynomial :math:`\frac12 W^TAW + (b^TW)^3 + (d^TW)^4`, for vectors of fractions.

    Attributes:
        A: (n, n), symmetric.
        b: (n,).
        d: (n,).
    """

    A: NDArray[np.object_]
    b: NDArray[np.object_]
    d: NDArray[np.object_]

    def value(self, W: NDArray[np.object_]) -> Fraction:
        """Return the value at W."""
        return W @ self.A @ W / 2 + (self.b @ W) ** 3 + (self.d @ W) ** 4

    def gradient(self, W: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return the gradient at W, (n,)."""
        return self.A @ W + 3 * (self.b @ W) ** 2 * self.b + 4 * (self.d @ W) ** 3 * self.d

    def second(self, W: NDArray[np.object_], v: NDArray[np.object_]) -> Fraction:
        r"""Return :math:`v^T\mathbf{H}(W)v`."""
        cubic = 6 * (self.b @ W) * (self.b @ v) ** 2
        return v @ self.A @ v + cubic + 12 * (self.d @ W) ** 2 * (self.d @ v) ** 2


def random_fractions(draw: np.random.Generator, *shape: int) -> NDArray[np.object_]:
    """Draw quarters of whole numbers between −6 and 6."""
    numbers = [Fraction(int(n), 4) for n in draw.integers(-6, 7, int(np.prod(shape)))]
    return np.array(numbers, dtype=object).reshape(shape)


def random_polynomial(draw: np.random.Generator, n: int, degree: int = 4) -> Quartic:
    """Draw a polynomial of that degree, 2 or 4, in n variables."""
    A, b, d = (random_fractions(draw, *shape) for shape in ((n, n), (n,), (n,)))
    higher = Fraction(int(degree > 2), 4)
    return Quartic(A + A.T, higher * b, higher * d)


def mean_value(losses: list[Quartic], W: NDArray[np.object_]) -> Fraction:
    """Return the mean of the losses at W."""
    return sum((q.value(W) for q in losses), Fraction(0)) / len(losses)


def mean_second(
    losses: list[Quartic], W: NDArray[np.object_], v: NDArray[np.object_], eta: Fraction
) -> Fraction:
    r"""Return :math:`\bar c\,\|v\|^2` of the mean of the losses, over the step from W to W − ηv."""
    start, middle = (
        sum((q.second(W - s * v, v) for q in losses), Fraction(0)) for s in (Fraction(0), eta / 2)
    )
    return 2 * (start + 2 * middle) / (3 * len(losses))


class Folded(NamedTuple):
    r"""The function :math:`\frac12W^TAW + \sum_ka_k|b_k^TW - d_k|`, in vectors of fractions.

    Attributes:
        A: (n, n), symmetric.
        a: (folds,), of either sign.
        b: (folds, n).
        d: (folds,).
    """

    A: NDArray[np.object_]
    a: NDArray[np.object_]
    b: NDArray[np.object_]
    d: NDArray[np.object_]

    def value(self, W: NDArray[np.object_]) -> Fraction:
        """Return the value at W."""
        return W @ self.A @ W / 2 + self.a @ abs(self.b @ W - self.d)

    def gradient(self, W: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return the gradient at W, which is to lie on no fold."""
        return self.A @ W + (self.a * np.sign(self.b @ W - self.d)) @ self.b

    def kinks(self, W: NDArray[np.object_], v: NDArray[np.object_], eta: Fraction) -> Fraction:
        r"""Return :math:`\sum_k(\eta - s_k)J_k` over the kinks of :math:`s \mapsto f(W - sv)`."""
        total, across, above = Fraction(0), self.b @ v, self.b @ W - self.d
        for a, speed, height in zip(self.a, across, above, strict=True):
            if speed and 0 < height / speed < eta:
                total += (eta - height / speed) * 2 * a * abs(speed)
        return total
