"""What the chapters of the executable "Piecewise Strong Convexity of Neural Networks" share."""

from pscore.certificate import Certificate, certify
from pscore.network import ReLUNetwork
from pscore.probe import CurvatureProbe, every

__all__ = ["Certificate", "CurvatureProbe", "ReLUNetwork", "certify", "every"]
