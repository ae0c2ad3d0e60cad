"""Certificates of piecewise strong convexity, and the curvature of a loss along its training path.

What the chapters of the executable "Piecewise Strong Convexity of Neural Networks" share.
"""

from importlib.metadata import PackageNotFoundError, version

from pscore.certificate import Certificate, certify
from pscore.network import ReLUNetwork
from pscore.probe import CurvatureProbe, every

try:
    __version__ = version("pscore")
except PackageNotFoundError:  # read from a folder that is not installed
    __version__ = "unknown"

__all__ = ["Certificate", "CurvatureProbe", "ReLUNetwork", "certify", "every"]
