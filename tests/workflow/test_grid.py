"""A grid by one command: what its configuration means, its plan, its tables, its comparison."""

import shutil
import sys

import grids
import nbformat
import pytest
import yaml

sys.path.insert(0, str(grids.ROOT / "workflow"))
import grid
import plan

needs_engine = pytest.mark.skipif(not grids.ENGINE.exists(), reason=grids.NO_ENGINE)


def example(name="example"):
    path = grids.ROOT / "workflow" / "config" / f"{name}.yaml"
    return yaml.safe_load(path.read_text())


def test_the_example_is_two_by_two_by_three_shards():
    batches = grid.batches(example())
    assert len(batches) == 4
    for batch in batches.values():
        assert list(batch.shards) == ["0-1", "2-3", "4-5"] and len(batch.seeds) == 6


def test_the_paper_s_grid_has_the_paper_s_numbers_of_trials():
    batches = grid.batches(example("paper")).values()
    assert [len(batch.seeds) for batch in batches] == [1000, 100, 20, 20]
    for batch in batches:
        assert (grids.ROOT / batch.notebook).exists()


def test_a_last_shard_is_what_is_left_over():
    entry = {"notebook": "a.ipynb", "trials": 5, "first_seed": 7, "shard": 2}
    (batch,) = grid.batches({"name": "g", "batches": [entry]}).values()
    assert {name: list(seeds) for name, seeds in batch.shards.items()} == {
        "7-8": [7, 8],
        "9-10": [9, 10],
        "11-11": [11],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trails": 3}, "batches: unknown trails; known are first_seed"),
        ({"parameters": {"first_seed": 3}}, "first_seed is set by the workflow"),
        ({"parameters": {"a": [1, 1]}}, "a-1 is there twice"),
    ],
)
def test_a_mistake_in_a_configuration_is_named(change, message):
    entry = {"notebook": "a.ipynb", "trials": 3, **change}
    with pytest.raises(ValueError, match=message):
        grid.batches({"name": "g", "batches": [entry]})


def test_a_name_says_what_is_run_and_not_where():
    given = {"target": "x/4", "learning_rate": 0.1, "data_dir": "/data", "device": "cpu"}
    (name,) = grid.batches(
        {"name": "g", "batches": [{"notebook": "b/a.ipynb", "trials": 1, "parameters": given}]}
    )
    assert name == "a--target-x_4--learning_rate-0.1"  # a cluster takes no comma, no equals sign


def test_the_plan_is_made_from_what_earlier_trials_took():
    table = plan.estimate(example("paper"))
    assert table.jobs.tolist() == [1, 10, 20, 20]
    toy, mnist, cifar10, cifar100 = table.hours
    assert toy < mnist < 3 < 20 < min(cifar10, cifar100)
    assert table["estimated by"].str.split().str[0].tolist()[:3] == ["toy", "mnist", "cifar10"]


def test_the_plan_counts_the_images_that_a_trial_sees():
    """A batch of the first images is planned by one like it, or by the images; never by another."""
    table = plan.estimate(example("cifar-start"))
    assert table["estimated by"].str.contains("default|he|softmax").all()
    assert (table.hours < 1).all()
    config = example("cifar-start")
    config["batches"] = config["batches"][:1]
    config["batches"][0]["parameters"] |= {"train_images": 25_600, "initialization": "default"}
    more = plan.estimate(config).hours
    assert (5 < more / table.hours.iloc[0]).all()


# ---- by Snakemake ------------------------------------------------------------------------------


@needs_engine
def test_results_do_not_depend_on_shards_workers_or_order(tmp_path):
    """Two grids of the same trials, a job each against four; then the comparison."""
    notebook = grids.image_jobs(tmp_path)
    one, many = (
        grids.write_config(tmp_path, notebook, name=name, shard=shard, learning_rate=[0.1, 0.05])
        for name, shard in (("one", 2), ("many", 1))
    )
    grids.run(one, cores="1")
    grids.run(many, cores="3")
    grids.assert_alike(grids.tables(one), grids.tables(many))
    grids.assert_each_once(many)

    compared = nbformat.read(tmp_path / "many" / "compare.ipynb", as_version=4)
    texts = [out.get("text", "") for cell in compared.cells for out in cell.get("outputs", [])]
    assert "2 batches, 4 trials\n" in texts
    shown = "".join(
        out.data.get("text/plain", "")
        for cell in compared.cells
        for out in cell.get("outputs", [])
        if "data" in out
    )
    assert "learning_rate" in shown and "test accuracy" in shown

    before = (tmp_path / "many" / "compare.ipynb").stat().st_mtime_ns
    grids.run(many)  # nothing to be done
    assert (tmp_path / "many" / "compare.ipynb").stat().st_mtime_ns == before


@needs_engine
def test_a_second_start_is_refused_while_the_first_is_at_it(tmp_path):
    if not shutil.which("flock"):
        pytest.skip("there is no flock: Snakemake's own lock does it")
    config = grids.write_config(tmp_path, grids.image_jobs(tmp_path))
    first = grids.start(config)
    try:
        assert grids.wait_until(lambda: grids.jobs_of(tmp_path), 60)
        assert grids.start(config).wait() == 75
    finally:
        grids.kill(first)
