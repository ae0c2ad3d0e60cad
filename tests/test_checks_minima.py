"""Theorem 2, Lemmas 5 and 6, and what the book adds to them: both directions of every check."""

import numpy as np
import pytest
import torch
from instances import random_instance

from pscore.checks import minima
from pscore.curvature import flatten
from pscore.network import ReLUNetwork

LEAST_MET = {
    "paper-theorem-2": 300,
    "paper-lemma-5": 120,
    "paper-lemma-6": 40,
    "eq-46": 20,
    "minima-path": 60,
    "minima-stationary": 40,
    "minima-origin": 2500,
    "minima-arc": 60,
    "minima-scaling": 60,
}


def holds(label: str, seed: int) -> minima.Evidence:
    check = next(claim.check for claim in minima.CLAIMS if claim.label == label)
    evidence = check(seed)
    assert evidence.met >= LEAST_MET[label]
    assert evidence.violations == 0
    assert evidence.rejected > 0
    assert evidence.margin is None or 0 < evidence.margin < 1 + 1e-9
    return evidence


@pytest.mark.claim("paper-theorem-2")
def test_critical_points_that_are_no_strict_minima_lie_outside():
    evidence = holds("paper-theorem-2", seed=0)
    assert evidence.margin == pytest.approx(0.5, abs=1e-9)  # κ = 2λ at H = 1, never less


@pytest.mark.claim("paper-theorem-2")
def test_census_has_every_depth_and_every_kind():
    for parts in zip(minima.census(0)[::2], minima.census(0)[1::2], strict=True):
        H = parts[0].depth
        ratio = torch.cat([part.ratio for part in parts])
        assert len(ratio) >= 80
        assert all(part.gradient.max() < 1e-10 for part in parts)
        assert ratio.min() == pytest.approx(H * (H + 1), rel=1e-9)
    saddles = sum(int(part.saddle.sum()) for part in minima.census(0))
    flat = sum(int(part.flat.sum()) for part in minima.census(0))
    strict = sum(int(part.strict.sum()) for part in minima.census(0))
    assert min(saddles, flat, strict) >= 10


@pytest.mark.claim("paper-lemma-5")
def test_differentiable_critical_points_of_glued_functions():
    assert holds("paper-lemma-5", seed=1).rejected == 120


@pytest.mark.claim("paper-lemma-6")
def test_local_minima_of_glued_functions():
    evidence = holds("paper-lemma-6", seed=1)
    assert evidence.rejected == evidence.met < evidence.tried


@pytest.mark.claim("eq-46")
def test_path_across_switch_boundaries_of_networks():
    holds("eq-46", seed=1)


@pytest.mark.claim("minima-path")
def test_chords_steepen_on_glued_functions():
    assert holds("minima-path", seed=1).margin > 0.9


@pytest.mark.claim("minima-path")
def test_glued_functions_are_continuous_and_use_several_pieces():
    active = []
    x = np.random.default_rng(0).normal(size=(4000, 2))
    for seed in range(10):
        function = minima.glued(seed)
        assert function.theta > 0.2 - 1e-9
        active.append(len(set(np.abs(function.pieces(x) - function(x)[:, None]).argmin(-1))))
        step = 1e-7 * np.random.default_rng(1).normal(size=x.shape)
        assert np.abs(function(x + step) - function(x)).max() < 1e-5
    assert np.mean(active) >= 3


@pytest.mark.claim("paper-lemma-6")
def test_minimum_is_decided_by_slopes_as_by_values():
    """The hull test against the sign of the directional derivative in 3600 directions."""
    angles = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    answers = []
    for seed in range(60):
        function = minima.glued(seed, flat=0.5)
        along = directions @ function.slopes.T
        least = min(along[:, list(group)].max(-1).min() for group in function.groups)
        answers.append(function.origin_is_minimum())
        assert answers[-1] == (least > -1e-12)
    assert 10 < sum(answers) < 50


@pytest.mark.claim("minima-stationary")
def test_no_direction_down_is_enough():
    evidence = holds("minima-stationary", seed=2)
    assert evidence.rejected == evidence.met < evidence.tried


@pytest.mark.claim("minima-origin")
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_grows_away_from_the_origin(seed):
    assert holds("minima-origin", seed).margin > 0.95


@pytest.mark.claim("minima-arc")
def test_arc_of_collinear_units():
    holds("minima-arc", seed=1)


@pytest.mark.claim("minima-arc")
def test_turning_keeps_the_norm_and_moves_the_weights():
    network, W, _, _ = random_instance((2, 3, 2, 1), seed=2)
    start, end = (minima.turned(network, W, 2, 0, 1, angle) for angle in (0.0, 0.7))
    torch.testing.assert_close(flatten(start).norm(), flatten(end).norm())
    assert (flatten(start) - flatten(end)).norm() > 0.1
    assert isinstance(network, ReLUNetwork)


@pytest.mark.claim("minima-scaling")
def test_scaling_without_weight_decay():
    holds("minima-scaling", seed=1)
