"""The share (20), t_0 and the percentile after it, on paths made by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from pscore.experiments.share import (
    entry_index,
    even_log,
    loss_fraction,
    loss_share,
    tenth_percentile,
    time_fraction,
)


def test_entry_is_after_the_last_curvature_that_is_not_positive():
    assert entry_index([1.0, 2.0]) == 0
    assert entry_index([-1.0, 3.0, 0.0, 4.0]) == 3
    assert entry_index([1.0, math.nan, 4.0]) == 2
    assert entry_index([1.0, -1.0]) == 2  # there is none
    assert entry_index([]) == 0


def test_shares_of_many_paths_are_those_of_each():
    initial, final = np.array([5.0, 5.0, 1.0, 4.0, 4.0]), np.array([1.0, 1.0, 2.0, 1.0, 1.0])
    at_entry, entry = torch.tensor([2.0, math.nan, 2.0, 6.0, 0.0]), [30, math.nan, 10, 10, 10]
    share = loss_fraction(initial, at_entry, final, entry)
    assert np.allclose(share, [0.25, 0.0, math.nan, 1.0, 0.0], equal_nan=True)
    alone = [loss_fraction(*path) for path in zip(initial, at_entry, final, entry, strict=True)]
    assert np.array_equal(share, alone, equal_nan=True)
    assert loss_fraction(1.0, 1.0, 2.0, 0) == 1  # inside from the start on


def test_share_of_the_time_counts_steps():
    assert time_fraction([0, 30, math.nan], 40) == pytest.approx([1.0, 0.25, 0.0])
    assert time_fraction(0.25, 1.0) == 0.75
    with np.errstate(all="raise"):  # of a path without length nothing is divided by 0
        assert time_fraction(0, 0) == 1
        assert time_fraction(math.nan, 0) == 0


def test_percentile_is_of_the_log_from_the_entry_on():
    step, curvature = [0, 10, 20, 30, 40], [-9.0, 10.0, 20.0, math.nan, 30.0]
    assert tenth_percentile(step, curvature, 7) == pytest.approx(12.0)  # between 10 and 20
    assert tenth_percentile(step, curvature, 35) == 30.0
    assert math.isnan(tenth_percentile(step, curvature, math.nan))
    assert math.isnan(tenth_percentile(step, curvature, 50))


def trajectory(losses, curvatures, log_every=10):
    step = log_every * np.arange(len(losses))
    return pd.DataFrame({"step": step, "loss": losses, "curvature": curvatures})


def test_share_of_a_hand_made_trajectory():
    share = loss_share(trajectory([5.0, 4.0, 3.0, 2.0, 1.0], [-1.0, 3.0, -2.0, 10.0, 20.0]))
    assert share.entry_step == 30
    assert (share.loss_initial, share.loss_entry, share.loss_final) == (5.0, 2.0, 1.0)
    assert share.loss_fraction == pytest.approx((2 - 1) / (5 - 1))
    assert share.time_fraction == pytest.approx((40 - 30) / 40)
    assert share.curvature_p10 == pytest.approx(11.0)  # a tenth of the way from 10 to 20


def test_share_of_a_trial_that_starts_inside_is_one():
    for losses in ([3.0, 2.0], [1.0, 1.0], [1.0, 2.0]):  # even if the loss does not fall
        share = loss_share(trajectory(losses, [1.0, 2.0]))
        assert (share.loss_fraction, share.time_fraction, share.entry_step) == (1.0, 1.0, 0)


@pytest.mark.parametrize("last", [-1.0, 0.0, math.nan])
def test_share_of_a_trial_that_never_enters_is_zero(last):
    share = loss_share(trajectory([3.0, 2.0, 1.0], [1.0, 2.0, last]))
    assert (share.loss_fraction, share.time_fraction, share.entry_step) == (0.0, 0.0, None)
    assert (share.loss_initial, share.loss_final) == (3.0, 1.0)
    assert math.isnan(share.loss_entry)
    assert math.isnan(share.curvature_p10)


def test_share_that_noise_takes_out_of_its_range_is_taken_back():
    above = loss_share(trajectory([3.0, 3.5, 1.0], [-1.0, 1.0, 1.0]))
    below = loss_share(trajectory([3.0, 0.5, 1.0], [-1.0, 1.0, 1.0]))
    assert (above.loss_fraction, below.loss_fraction) == (1.0, 0.0)
    assert (above.loss_entry, below.loss_entry) == (3.5, 0.5)


def test_share_of_a_loss_that_does_not_fall_is_unknown():
    for losses in ([1.0, 2.0, 2.0], [1.0, 2.0, 1.0]):
        assert math.isnan(loss_share(trajectory(losses, [-1.0, 1.0, 1.0])).loss_fraction)


def test_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="trajectory is empty"):
        loss_share(trajectory([], []))


def test_path_without_its_beginning_is_taken_from_its_first_step_on():
    path = trajectory([9.0, 5.0, 3.0, 1.0], [-1.0, -1.0, 1.0, 1.0])
    share = loss_share(path[path.step > 0])
    assert share.entry_step == 20
    assert share.loss_fraction == pytest.approx((3 - 1) / (5 - 1))
    assert share.time_fraction == pytest.approx((30 - 20) / (30 - 10))
    inside = loss_share(path[path.step > 10])
    assert (inside.entry_step, inside.loss_fraction, inside.time_fraction) == (20, 1.0, 1.0)


def test_an_even_log_keeps_every_so_many_steps_from_its_offset_on():
    path = trajectory([5.0, 4.0, 3.0, 2.0, 1.0], [1.0] * 5)
    assert even_log(path, 20).step.tolist() == [0, 20, 40]
    assert even_log(path, 20, 10).step.tolist() == [10, 30]
    assert even_log(path, 50).step.tolist() == [0]
    for lacking in (path[path.step != 20], path[path.step > 0]):
        with pytest.raises(ValueError, match="lacks steps of a log with period 20 from 0"):
            even_log(lacking, 20)
    with pytest.raises(ValueError, match="lacks steps"):
        even_log(path, 10, 5)
    dense = pd.concat([path, path.assign(step=path.step // 10 + 1)]).sort_values("step")
    assert even_log(dense, 10).step.tolist() == path.step.tolist()
