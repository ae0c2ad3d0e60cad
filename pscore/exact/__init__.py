"""Computer-assisted proofs, rounding included: balls around minima, and minima on kinks.

They need python-flint: ``pip install 'pscore[exact]'``.
"""

from pscore.exact.finish import Finished, finish
from pscore.exact.gauss_newton import BallCertificate, GaussNewton
from pscore.exact.minimum import MinimumCertificate, certify_minimum

__all__ = [
    "BallCertificate",
    "Finished",
    "GaussNewton",
    "MinimumCertificate",
    "certify_minimum",
    "finish",
]
