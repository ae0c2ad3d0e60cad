"""Checks of numbers that come from outside, in one wording that names the argument."""

import math
from numbers import Integral
from typing import Any, SupportsFloat


def whole_number(name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``; True and False are none.

    Raises:
        ValueError: naming the argument and what it must be.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, not {value!r}")


def positive(name: str, value: Any) -> None:
    """Refuse what is not a finite number above 0."""
    if not _finite(value) or value <= 0:
        raise ValueError(f"{name} must be positive and finite, not {value!r}")


def not_negative(name: str, value: Any) -> None:
    """Refuse what is not a finite number of at least 0."""
    if not _finite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number >= 0, not {value!r}")


def finite(name: str, value: Any) -> None:
    """Refuse what is not a finite number."""
    if not _finite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")


def _finite(value: Any) -> bool:
    """Whether it stands for one finite number, as a tensor without axes does too."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return False
    return math.isfinite(float(value))
