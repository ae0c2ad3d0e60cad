"""Points of zero error: checks in both directions, closed forms, and shuffled SGD by hand."""

import math

import pytest
import torch
from instances import random_instance
from torch.autograd.functional import jacobian

from evidence import near_memorization as checks
from evidence.claims import Unsound
from evidence.descents.zero_error import (
    Constants,
    cell_radius,
    constants,
    run_near,
    scaling_directions,
    slopes,
    starts,
    zero_error_points,
)
from pscore.curvature import flatten, frozen_hessian, frozen_jacobian, unflatten
from pscore.descent import descend, descend_shuffled
from pscore.experiments.trials import TRAJECTORY_COLUMNS, TRIAL_COLUMNS, stored
from pscore.instance import Instance
from pscore.loss import training_error
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator


def test_jacobian_of_a_vector_valued_stack_is_that_of_autograd():
    network, W, a, _ = random_instance((3, 4, 2, 2), slope=0.3, stack=(3,), seed=4)
    S = network.switches(W, a)
    found = frozen_jacobian(network, W, a)
    assert found.shape == (3, 10, network.parameter_count)
    for t in range(3):
        held = tuple(s[t] for s in S)

        def outputs(v, held=held):
            return network.frozen(unflatten(network, v), a, held).flatten()

        torch.testing.assert_close(found[t], jacobian(outputs, flatten([w[t] for w in W])))


def test_a_unit_cut_off_gives_no_direction_and_a_chain_counts_once():
    network = ReLUNetwork((1, 2, 2, 1), output_relu=False)
    W = [torch.zeros(shape, dtype=torch.float64) for shape in network.shapes]
    assert checks.cut_off(W) == 4
    W[1][0, 0] = 2.0  # two units joined to each other and to nothing else
    assert checks.cut_off(W) == 3
    D = scaling_directions(network, W)
    assert torch.linalg.matrix_rank(D) == 1
    W[0][0, 0] = 1.0
    assert checks.cut_off(W) == 2
    assert torch.linalg.matrix_rank(scaling_directions(network, W)) == 2


def test_along_a_scaling_the_curvature_of_a_worked_example():
    """One unit, w = v = 1, a = 1, f = 3: e = −2, share 1, D = (1, −1): 2λ + 4."""
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    one = torch.ones(1, 1, dtype=torch.float64)
    H = frozen_hessian(network, (one, one), one, torch.tensor([3.0]), 0.25)
    D = scaling_directions(network, (one, one))[0]
    assert D.tolist() == [1.0, -1.0]
    assert (D @ H @ D).item() == pytest.approx(2 * 0.25 + 4)


def test_radius_by_hand_and_deeper_below_the_first_layers():
    network = ReLUNetwork((2, 2, 1), output_relu=False)
    W = (torch.tensor([[[1.0, 3.0], [0.0, 4.0]]]), torch.ones(1, 2, 1))
    a = torch.tensor([[[2.0, 0.0], [0.0, -5.0], [1.0, 1.0]]]) + 0.0
    at = Instance(network, W, a, network(W, a))
    assert cell_radius(at).item() == 0  # the first unit's input at the second point is 0
    at = at._replace(a=a[:, [0, 2]])
    assert cell_radius(at).item() == pytest.approx(1 / math.sqrt(2))  # (1, 0) · (1, 1) / √2
    deep = zero_error_points("teacher", (2, 3, 2, 1), [0, 1], 3)
    first = (deep.a @ deep.W[0]).abs() / deep.a.norm(dim=-1, keepdim=True)
    assert (cell_radius(deep) <= first.amin((-2, -1))).all()
    assert (cell_radius(deep) > 0).all()


def test_an_epoch_without_the_factor_of_its_bound_shortens_less():
    x = torch.tensor([1.0, 2.0])
    P = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    after = (torch.eye(2) - P) @ ((torch.eye(2) - P) @ x)
    lost = x @ x - after @ after
    assert lost == 1.0 and x @ (2 * P) @ x == 2.0  # without the factor 2/(2·3) the bound is false


def test_one_epoch_of_shuffled_sgd_by_hand():
    network, W, a, f = random_instance((2, 3, 1), points=6, stack=(2,), seed=9)
    many, targets = a.expand(2, 6, 2), f.expand(2, 6)
    arguments = {"weight_decay": 0.1, "learning_rate": torch.tensor([0.02, 0.05])}
    problem, states = descend_shuffled(
        network, W, many, targets, **arguments, batch_size=2, epochs=1, seeds=[4, 5]
    )
    end = list(states)[-1]
    assert end.step == 3
    for t, (seed, rate) in enumerate(((4, 0.02), (5, 0.05))):
        V = [w[t].clone().requires_grad_() for w in W]
        order = torch.randperm(6, generator=torch_generator(seed, "shuffling"))
        for batch in order.split(2):
            loss = training_error(network, V, a[batch], f[batch])
            loss = loss + 0.05 * sum(v.square().sum() for v in V)
            slopes_of = torch.autograd.grad(loss, V)
            V = [
                (v - rate * g).detach().requires_grad_() for v, g in zip(V, slopes_of, strict=True)
            ]
        for mine, theirs in zip(V, end.W, strict=True):
            torch.testing.assert_close(mine.detach(), theirs[t])


def test_whole_batches_are_gradient_descent():
    network, W, a, f = random_instance((2, 3, 1), points=4, stack=(2,), seed=1)
    both = {"weight_decay": 0.0, "learning_rate": 0.05}
    _, one = descend(network, W, a, f, **both, steps=5)
    _, other = descend_shuffled(
        network, W, a.expand(2, 4, 2), f.expand(2, 4), **both, batch_size=4, epochs=5, seeds=[0, 1]
    )
    for before, after in zip(list(one)[-1].W, list(other)[-1].W, strict=True):
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 3}, "batch_size must be a divisor of the 4 points"),
        ({"epochs": -1}, "epochs must be an integer >= 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"seeds": [1]}, "seeds must be stacks of one length"),
    ],
)
def test_bad_settings_are_refused_before_any_step(changes, message):
    network, W, a, f = random_instance((2, 3, 1), points=4, stack=(2,))
    settings = {"learning_rate": 0.1, "batch_size": 2, "epochs": 1, "seeds": [0, 1]} | changes
    with pytest.raises(ValueError, match=message):
        descend_shuffled(
            network, W, a.expand(2, 4, 2), f.expand(2, 4), weight_decay=0.0, **settings
        )


def test_bad_points_are_refused():
    with pytest.raises(ValueError, match="kind must be one of teacher, copies"):
        zero_error_points("student", (2, 3, 1), [0], 4)
    with pytest.raises(ValueError, match="one hidden layer"):
        zero_error_points("copies", (2, 3, 3, 1), [0], 4)
    with pytest.raises(ValueError, match="draws or points must be larger"):
        zero_error_points("copies", (2, 3, 1), [0], 1, draws=4)
    with pytest.raises(ValueError, match="nearest and farthest"):
        run_near([0], nearest=1e-2, farthest=1e-3)


def test_constants_bound_what_they_are_said_to_bound():
    """K against differences of J on the ball, ``|J_B|`` against all batches of 2 of 4."""
    at = zero_error_points("teacher", (3, 5, 1), range(6), 4)
    given = constants(at, 2)
    J = frozen_jacobian(at.network, at.W, at.a)
    pairs = torch.combinations(torch.arange(4))
    largest = torch.linalg.matrix_norm(J[:, pairs], ord=2).amax(-1).square()
    assert (largest <= given.batch * (1 + 1e-12)).all()
    assert (given.batch <= given.largest * (1 + 1e-12)).all()
    for seed in range(10):
        moved = starts(at, torch.tensor([0.0]), [seed] * 6)
        u = torch.randn(flatten(moved).shape, generator=torch.Generator().manual_seed(seed))
        step = 0.99 * given.radius.unsqueeze(-1) * u / u.norm(dim=-1, keepdim=True)
        V = unflatten(at.network, flatten(at.W) + step)
        change = torch.linalg.matrix_norm(frozen_jacobian(at.network, V, at.a) - J, ord=2)
        assert (change <= given.lipschitz * step.norm(dim=-1)).all()


def test_more_data_than_rank_goes_to_zero_all_the_same():
    trials, _ = run_near(
        range(3), widths=(3, 2, 1), points=24, batch_size=24, epochs=1500, distances=2, draws=64
    )
    assert (trials["rank"] < 24).all()
    assert trials.loss_final.max() < 1e-20 and trials.same_switches.all()


def test_the_smallest_copies_have_the_loss_in_closed_form():
    network = ReLUNetwork((2, 2, 1), output_relu=False)
    a, f = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double(), torch.zeros(2).double()
    w, v = torch.tensor([[1.1, 0.9], [0.1, -0.2]]).double(), torch.tensor([[0.2], [-0.1]]).double()
    expected = 0.5 * (w @ v).square().sum()
    torch.testing.assert_close(training_error(network, (w, v), a, f), expected)
    point = (w.new_tensor([[[1.0, 1.0], [0.0, 0.0]]]), 0 * v[None])
    at = Instance(network, point, a[None], f[None])
    assert cell_radius(at).item() == pytest.approx(1 / math.sqrt(2))


def test_interpolants_fit_targets_that_no_network_of_their_kind_made():
    at = checks.interpolants((8, 16), 6, 3, 4, draws=4)
    draw = torch_generator(3000, "data")
    torch.randn(4, 8, 16, generator=draw, dtype=torch.float64)
    torch.randn(4, 6, 8, generator=draw, dtype=torch.float64)
    drawn = torch.randn(4, 6, 1, generator=draw, dtype=torch.float64)[..., 0]
    assert (drawn - at.f[0].reshape(-1)).abs().amax(-1).min() < 1e-9
    assert (at.residuals() == 0).all()


def test_along_the_gradient_the_recorded_curvature_is_positive():
    _, paths = run_near([0, 1], widths=(8, 16, 1), points=4, batch_size=2, epochs=40, distances=2)
    assert (paths[paths.loss > 1e-24].curvature > 0).all()


def test_stored_runs_have_the_exponents_that_the_chapter_names():
    teacher, copies = (stored(f"near-memorization/{x}").trials for x in ("n8-b8", "copies"))
    for table in (teacher, copies):
        assert {*TRIAL_COLUMNS, *Constants._fields} <= set(table.columns)
        assert table.seed.nunique() >= 20 and table.distance.max() / table.distance.min() >= 999
        assert slopes(table, "loss_initial").between(1.99, 2.01).all()
        assert table.entry_step.notna().all() and table.same_switches.all()
    assert slopes(copies, "loss_least").between(3.9, 4.1).all()
    assert (teacher.loss_least < 1e-24).all()
    assert set(TRAJECTORY_COLUMNS) <= set(stored("near-memorization/copies").trajectories.columns)


@pytest.mark.parametrize(
    ("check", "constant", "factor"),
    [
        (checks.check_radius, "radius", 2.0),
        (checks.check_exact, "least", 9.0),
        (checks.check_path, "lipschitz", 1e-3),
        (checks.check_stall, "lipschitz", 1e-2),
    ],
)
def test_a_wrong_constant_turns_a_check_red(monkeypatch, check, constant, factor):
    def wrong(at, *batch):
        right = constants(at, *batch)
        return right._replace(**{constant: factor * getattr(right, constant)})

    monkeypatch.setattr(checks, "constants", wrong)
    with pytest.raises(Unsound, match="violated"):
        check(0)


def test_scalings_that_are_none_turn_the_check_red(monkeypatch):
    def grown(network, W):
        return scaling_directions(network, W).abs()

    monkeypatch.setattr(checks, "scaling_directions", grown)
    for check in (checks.check_scaling, checks.check_along):
        with pytest.raises(Unsound, match="violated"):
            check(0)
