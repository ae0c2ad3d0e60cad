"""Computer-assisted proofs, rounding included: they need the extra `exact`."""

from pscore.exact.gauss_newton import BallCertificate, GaussNewton

__all__ = ["BallCertificate", "GaussNewton"]
