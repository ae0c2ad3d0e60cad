"""The search for equality in Lemma 3."""

from evidence.solvers.ascent import maximise_ratio


def test_the_search_finds_what_lemma_3_allows_and_no_more():
    for H in (1, 2):
        ratio = maximise_ratio(H, 0)[0] * (H + 1)
        assert 0.85 < ratio.max().item() <= 1 + 1e-9
