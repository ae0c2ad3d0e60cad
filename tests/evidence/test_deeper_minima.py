"""Critical points of deeper networks."""

import pytest

from evidence import deeper_minima as deeper


def test_the_numbers_of_width_one():
    saddle, minimum = deeper.width_one_roots(2, 0.1)
    assert (saddle, minimum) == (pytest.approx(0.1001, abs=5e-5), pytest.approx(0.9642, abs=5e-5))
    assert deeper.width_one_roots(2, 1.001 * deeper.fold(2)) == []
    assert deeper.width_one_roots(1, 1.001) == []


@pytest.mark.parametrize("widths", deeper.SURVEYED)
def test_the_survey_finds_no_kink_that_sags(widths):
    table = deeper.survey(0, widths)
    kinks = table[table["end"] == "kink"]
    assert len(table) <= deeper.STARTS and len(kinks) > 0
    assert (table["end"] == "open").sum() <= deeper.STARTS // 5
    assert not kinks["sagging"].any() and kinks["held"].any()
    assert (table.loc[table["end"] == "strict", "least"] > 0).all()
