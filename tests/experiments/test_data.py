"""Data sets: the embedded one, files good and bad, and torchvision's folders."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pscore.experiments.data import DIGITS_TEST_SIZE, load

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def arrays(count=6, test=4, shape=(8, 8), classes=3):
    generator = np.random.default_rng(0)
    return {
        "train_images": generator.integers(0, 256, (count, *shape), dtype=np.uint8),
        "train_labels": np.arange(count) % classes,
        "test_images": generator.integers(0, 256, (test, *shape), dtype=np.uint8),
        "test_labels": np.arange(test) % classes,
    }


def save(folder, name="shapes", **changes):
    content = {key: value for key, value in {**arrays(), **changes}.items() if value is not None}
    np.savez(folder / f"{name}.npz", **content)


def test_digits_are_scikit_learns():
    data = load("digits")
    assert data.shape == (1, 28, 28)
    assert data.classes == 10
    assert len(data.test_labels) == DIGITS_TEST_SIZE
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert data.train_images.dtype == torch.float32
    unit = load("digits", normalization="unit").train_images
    assert 0 <= unit.min() < unit.max() <= 1
    expected = np.bincount(load_digits().target)
    both = torch.bincount(data.train_labels) + torch.bincount(data.test_labels)
    assert both.tolist() == expected.tolist()
    proportion = torch.bincount(data.test_labels) / both
    assert (proportion - DIGITS_TEST_SIZE / 1797).abs().max() < 0.01  # stratified


def test_digits_are_the_same_for_everybody():
    """The digest is of whole numbers before any interpolation, so it is a constant."""
    expected = "sha256:b6ad09dd0a9bd5c24286a2ad9a22a11419211c73696b44d3a37e640bfbcfd688"
    assert load("digits").digest == expected


def test_digits_are_drawn_larger_without_moving():
    """Averages over blocks of a doubled grid would not fit 28/8; the centre of mass must."""
    small = torch.from_numpy(load_digits().images).sum(0)
    data = load("digits", normalization="unit")
    large = torch.cat([data.train_images, data.test_images]).sum(0)[0].double()
    for axis in (0, 1):
        centre = [
            float((image.sum(1 - axis) * (torch.arange(n) + 0.5)).sum() / image.sum() / n)
            for image, n in ((small, 8), (large, 28))
        ]
        assert centre[0] == pytest.approx(centre[1], abs=0.005)


def test_file_goes_first_and_its_stem_is_the_name(tmp_path):
    save(tmp_path, "shapes")
    data = load("shapes", tmp_path, "unit")
    raw = arrays()
    assert data.name == "shapes"
    assert data.classes == 3
    assert data.train_images.shape == (6, 1, 8, 8)
    torch.testing.assert_close(
        data.train_images[:, 0] * 255, torch.from_numpy(raw["train_images"]).float()
    )
    assert data.test_labels.tolist() == [0, 1, 2, 0]
    assert data.test_labels.dtype == torch.int64
    save(tmp_path, "digits")
    assert load("digits", tmp_path).shape == (1, 8, 8)
    save(tmp_path, "mnist")
    assert load("mnist", tmp_path).classes == 10  # known by its name


def test_colours_move_from_the_last_axis_to_the_first(tmp_path):
    raw = arrays(shape=(8, 6, 3))
    save(tmp_path, **raw)
    data = load("shapes", tmp_path, "unit")
    assert data.shape == (3, 8, 6)
    assert data.train_images[2, 1, 5, 4] * 255 == raw["train_images"][2, 5, 4, 1]
    assert data.train_images.is_contiguous()


def test_standard_is_mean_zero_and_deviation_one_in_each_channel(tmp_path):
    raw = arrays(count=50, shape=(8, 6, 3))
    raw["train_images"][..., 1] //= 3
    save(tmp_path, **raw)
    data = load("shapes", tmp_path)
    bytes_ = raw["train_images"].astype(float)
    mean, deviation = bytes_.mean((0, 1, 2)), bytes_.std((0, 1, 2))
    for images, key in ((data.train_images, "train_images"), (data.test_images, "test_images")):
        expected = (raw[key] - mean) / deviation  # the training set's, for both
        torch.testing.assert_close(
            images.permute(0, 2, 3, 1), torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-5
        )
    with pytest.raises(ValueError, match="normalization must be one of standard, unit"):
        load("shapes", tmp_path, "none")


def test_digest_is_of_the_content_and_not_of_the_file(tmp_path):
    save(tmp_path, "a")
    np.savez_compressed(tmp_path / "b.npz", **arrays())
    labels = arrays()["train_labels"].copy()
    labels[[0, 1]] = labels[[1, 0]]
    save(tmp_path, "c", train_labels=labels)
    digests = [load(name, tmp_path).digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "lacks test_labels"),
        ({"train_images": np.zeros((6, 64), np.uint8)}, r"train_images must be uint8 of shape"),
        ({"train_images": np.zeros((6, 8, 8))}, "train_images must be uint8"),
        ({"train_images": np.zeros((0, 8, 8), np.uint8)}, "not empty"),
        ({"train_images": np.zeros((6, 3, 8, 8), np.uint8)}, "1 or 3 channels, the last axis"),
        ({"test_images": np.zeros((4, 9, 8), np.uint8)}, "test_images of"),
        ({"train_labels": np.zeros(5, int)}, r"train_labels must be whole numbers of shape \(6,\)"),
        ({"test_labels": np.zeros(4)}, "test_labels must be whole numbers"),
        ({"test_labels": np.full(4, 3)}, r"test_labels must lie in 0, ..., 2"),
        ({"train_labels": np.full(6, -1)}, "train_labels must lie in"),
        ({"train_images": np.full((6, 8, 8), 9, np.uint8)}, "everywhere the same"),
        ({"train_labels": np.array([{}] * 6)}, "cannot be read as a data set"),
    ],
)
def test_bad_file_is_refused_by_name(tmp_path, changes, message):
    save(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load("shapes", tmp_path)


def test_labels_of_a_known_name_have_its_range(tmp_path):
    save(tmp_path, "mnist", train_labels=np.full(6, 10))
    with pytest.raises(ValueError, match=r"train_labels must lie in 0, ..., 9, not in 10, ..., 10"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04K\x01."])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "shapes.npz").write_bytes(content)
    with pytest.raises(ValueError, match="shapes.npz cannot be read as a data set"):
        load("shapes", tmp_path)


def test_truncated_archive_is_refused(tmp_path):
    save(tmp_path)
    path = tmp_path / "shapes.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="cannot be read as a data set"):
        load("shapes", tmp_path)


def test_damaged_archive_is_refused(tmp_path):
    save(tmp_path)
    path = tmp_path / "shapes.npz"
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # inside the first array: its checksum is wrong now
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="cannot be read as a data set"):
        load("shapes", tmp_path)


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="known are digits, mnist, .*notmnist.npz"):
        load("notmnist", tmp_path)
    with pytest.raises(ValueError, match="name without a folder"):
        load("../digits", tmp_path)


def idx(array):
    """The bytes of torchvision's file format for MNIST."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder, train=60_000, test=10_000, cut=0):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        images = idx(np.arange(count * 4).reshape(count, 2, 2) % 256)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images[: len(images) - cut])
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))


def test_torchvision_folder_with_the_wrong_number_of_images_is_refused(tmp_path):
    write_mnist(tmp_path, train=50_000)
    with pytest.raises(ValueError, match="has 50000 train images, not 60000"):
        load("mnist", tmp_path)


def test_truncated_torchvision_file_is_refused(tmp_path):
    write_mnist(tmp_path, cut=7)
    with pytest.raises(ValueError, match="mnist's train set .* is damaged"):
        load("mnist", tmp_path)


def test_missing_data_without_a_network_say_where_to_put_them(tmp_path, monkeypatch):
    from torchvision.datasets import mnist

    def offline(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(mnist, "download_and_extract_archive", offline)
    with pytest.raises(FileNotFoundError, match="mnist is not under data_dir .* mnist.npz"):
        load("mnist", tmp_path)


def test_download_is_torchvisions(tmp_path, monkeypatch):
    """With torchvision's download replaced by one that writes the files."""
    from torchvision.datasets import mnist

    source = tmp_path / "source"
    write_mnist(source)

    def fetch(url, download_root, filename, md5):
        content = gzip.compress((source / "MNIST" / "raw" / filename[:-3]).read_bytes(), 1)
        (Path(download_root) / filename[:-3]).write_bytes(gzip.decompress(content))

    monkeypatch.setattr(mnist, "download_and_extract_archive", fetch)
    data = load("mnist", tmp_path / "new")
    assert data.train_images.shape == (60_000, 1, 2, 2)


def test_real_mnist():
    if not (SHARED / "MNIST").exists():
        pytest.skip("the full MNIST files are not here")
    data = load("mnist", SHARED)
    assert data.shape == (1, 28, 28)
    assert (len(data.train_labels), len(data.test_labels)) == (60_000, 10_000)
    # the published class counts, mean and standard deviation
    assert torch.bincount(data.train_labels).tolist()[:3] == [5923, 6742, 5958]
    black = data.train_images.min().item()
    assert black == pytest.approx(-0.1307 / 0.3081, abs=2e-4)
    assert data.train_images.max().item() - black == pytest.approx(1 / 0.3081, abs=2e-4)


def test_the_first_images_of_both_sets_stay_as_they_are():
    data = load("digits")
    some = data.first(7, 0)
    assert torch.equal(some.train_images, data.train_images[:7])
    assert torch.equal(some.train_labels, data.train_labels[:7])
    assert torch.equal(some.test_images, data.test_images) and some.digest == data.digest
    assert len(data.first(0, 3).test_labels) == len(data.first(0, 3).test_images) == 3
    assert len(data.first(0, 3).train_labels) == len(data.train_labels)
