"""The page of the library's names: every public name is on it, and its examples run."""

import re
from pathlib import Path

import pytest
import torch

import pscore

PAGE = (Path(__file__).parents[2] / "chapters" / "back" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_gives_what_it_says(example):
    torch.manual_seed(0)
    names, lines = {}, []
    for line in [*example.splitlines(), "None  # None"]:
        code, _, said = line.partition("  # ")
        lines.append(code)
        if said:  # what the line is worth
            *before, last = lines
            exec("\n".join(before), names)
            assert repr(eval(last, names)) == said, last
            lines = []


def test_there_are_examples_with_values():
    assert len(EXAMPLES) == 4 and PAGE.count("  # ") >= 8


@pytest.mark.parametrize("name", pscore.__all__)
def test_every_public_name_is_there_with_an_example(name):
    assert re.search(rf"auto(class|function):: pscore\.{name}$", PAGE, re.M)
    if name != "Certificate":  # what certify gives
        assert any(re.search(rf"\b{name}\b", example) for example in EXAMPLES)
