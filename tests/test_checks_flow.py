"""The checks of the chapter on the gradient path, in both directions."""

import pytest

from pscore.checks import flow

LEAST = {  # of instances that met the hypotheses, over two seeds
    "eq-15": 18,
    "eq-16": 60,
    "eq-17": 40,
    "paper-lemma-8": 40,
    "eq-18": 40,
    "eq-19": 18,
    "flow-three-signs": 60,
    "flow-kinks": 15,
    "flow-decay-kinks": 20,
    "flow-logistic": 6,
}


def _check(claim):
    seen = [claim.check(seed) for seed in (0, 1)]
    assert sum(evidence.met for evidence in seen) >= LEAST[claim.label], seen
    assert all(evidence.violations == 0 for evidence in seen), seen
    assert sum(evidence.rejected for evidence in seen) > 0, seen


@pytest.mark.parametrize(
    "claim",
    [pytest.param(c, marks=pytest.mark.claim(c.label), id=c.label) for c in flow.CLAIMS],
)
def test_claim(claim):
    _check(claim)


@pytest.mark.claim("eq-18")
def test_decay_is_an_equality_on_the_quadratic():
    path = flow.quadratic(0)
    piece = path.pieces[0]
    assert flow.least_curvature(path, piece) == pytest.approx(2 * 0.7, rel=1e-9)
    u = path.sample(piece).squared_gradient_norm
    assert u[-1].item() == pytest.approx(
        u[0].item() * 2.718281828459045 ** (-2 * 0.7 * 2), rel=1e-8
    )


@pytest.mark.claim("flow-kinks")
def test_jumps_of_leaky_networks():
    """The formula with the factor 1 − slope, and with an activated output."""
    seen = 0
    for seed in range(3):
        s = flow.start(seed, (2, 3, 2, 1), output_relu=True, slope=0.1)
        path = flow.gradient_flow(*s, weight_decay=0.05, duration=2.0)
        for k, jump in enumerate(flow.budget(path).jumps):
            if min(piece.end - piece.start for piece in path.pieces[k : k + 2]) > 1e-6:
                seen += 1
                scale = abs(jump) + 1e-4 * path.crossings[k].before
                assert abs(flow.predicted_jump(path, k) - jump) < 1e-3 * scale
    assert seen >= 5
