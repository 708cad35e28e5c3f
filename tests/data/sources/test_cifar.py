from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.sources.cifar_files import archive, array, batch, binary, numbers, pickled, python2, strings, upright

from lth.data.sources import Dataset, open_source
from lth.data.sources.cifar import TEN
from lth.errors import DataError

TRAIN = {number: batch(5 + number, 10, number) for number in range(1, 11)}
TEST = batch(4, 10, 7)
FINE, FINE_TEST = batch(120, 100, 0), batch(30, 100, 50)
Contents = dict[str, bytes]


def binary_10(last: int = 2) -> Contents:
    """Returns the files of the binary version with training batches 1 to `last`."""
    return {f"data_batch_{one}.bin": binary(*TRAIN[one]) for one in range(1, last + 1)} | {
        "test_batch.bin": binary(*TEST),
        "batches.meta.txt": "\n".join([*TEN, "", ""]).encode(),
        "readme.html": b"",
    }


def python_10() -> Contents:
    meta = {"num_cases_per_batch": b"M\x10'", "label_names": strings(list(TEN)), "num_vis": b"M\x00\x0c"}
    return {f"data_batch_{one}": python2(*TRAIN[one]) for one in (1, 2)} | {
        "test_batch": python2(*TEST),
        "batches.meta": pickled(meta),
    }


def binary_100() -> Contents:
    return {
        "train.bin": binary(FINE[0], FINE[1] % 20, FINE[1]),
        "test.bin": binary(FINE_TEST[0], FINE_TEST[1] % 20, FINE_TEST[1]),
        "fine_label_names.txt": "\n".join(f"class {label}" for label in range(100)).encode(),
        "coarse_label_names.txt": b"not read",
    }


def python_100() -> Contents:
    def one(rows: np.ndarray, labels: np.ndarray) -> bytes:
        data = array(rows.tobytes(), rows.shape)
        return pickled({"data": data, "coarse_labels": numbers(labels % 20), "fine_labels": numbers(labels)})

    names = strings([f"class {label}" for label in range(100)])
    return {"train": one(*FINE), "test": one(*FINE_TEST), "meta": pickled({"fine_label_names": names})}


def write(folder: Path, contents: Contents) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def packed(contents: Contents) -> Contents:
    return {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}


def inside(folder: str, contents: Contents) -> Contents:
    """Returns the contents as they lie in an archive, the last file first."""
    return {f"{folder}/": b""} | {f"{folder}/{name}": contents[name] for name in reversed(contents)}


def test_cifar_10(tmp_path: Path) -> None:
    dataset = open_source(f"cifar10:{write(tmp_path, binary_10())}")
    assert dataset.name == "cifar10"
    assert np.array_equal(dataset.images, np.concatenate([upright(TRAIN[1][0]), upright(TRAIN[2][0])]))
    assert dataset.labels.tolist() == [*TRAIN[1][1], *TRAIN[2][1]]
    assert np.array_equal(dataset.test_images, upright(TEST[0]))
    assert dataset.test_labels.tolist() == TEST[1].tolist()
    assert dataset.class_names == TEN


def test_cifar_100_has_its_fine_labels(tmp_path: Path) -> None:
    dataset = open_source(f"cifar100:{write(tmp_path, binary_100())}")
    assert dataset.name == "cifar100"
    assert np.array_equal(dataset.images, upright(FINE[0]))
    assert dataset.labels.tolist() == FINE[1].tolist()
    assert dataset.test_labels.tolist() == FINE_TEST[1].tolist()
    assert dataset.class_names[98:] == ("class 98", "class 99")


FORMS: dict[str, Callable[[Path], object]] = {
    "pickles": lambda at: (write(at / "10", python_10()), write(at / "100", python_100())),
    "packed": lambda at: (write(at / "10", packed(binary_10())), write(at / "100", packed(binary_100()))),
    "folders": lambda at: (
        write(at / "10" / "cifar-10-batches-bin", binary_10()),
        write(at / "100" / "cifar-100-binary", binary_100()),
    ),
    "folders of pickles": lambda at: (
        write(at / "10" / "cifar-10-batches-py", python_10()),
        write(at / "100" / "cifar-100-python", python_100()),
    ),
    "archives": lambda at: (
        archive(at / "10" / "cifar-10-binary.tar.gz", inside("cifar-10-batches-bin", binary_10())),
        archive(at / "100" / "cifar-100-binary.tar.gz", inside("./cifar-100-binary", binary_100())),
    ),
    "archives of pickles": lambda at: (
        archive(at / "10" / "cifar-10-python.tar.gz", inside("cifar-10-batches-py", python_10())),
        archive(at / "100" / "cifar-100-python.tar.gz", inside("cifar-100-python", python_100())),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_data(tmp_path: Path, form: str) -> None:
    for name in ("10", "100"):
        (tmp_path / name).mkdir()
    FORMS[form](tmp_path)
    for classes, contents in (("10", binary_10()), ("100", binary_100())):
        found = open_source(f"cifar{classes}:{tmp_path / classes}")
        plain = open_source(f"cifar{classes}:{write(tmp_path / 'plain' / classes, contents)}")
        assert found.dataset_id == plain.dataset_id
        assert found.class_names == plain.class_names


def test_the_archive_itself_may_be_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "any.tar", python_10(), "w")
    assert open_source(f"cifar10:{path}").class_names == TEN


def test_batches_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    dataset = open_source(f"cifar10:{write(tmp_path, binary_10(10))}")
    assert dataset.labels.tolist() == [label for one in range(1, 11) for label in TRAIN[one][1]]


def test_an_unpacked_file_goes_before_a_packed_one(tmp_path: Path) -> None:
    write(tmp_path, binary_10() | {"data_batch_1.bin.gz": b"damaged"})
    assert len(open_source(f"cifar10:{tmp_path}").labels) == 6 + 7


def test_classes_without_a_file_of_names(tmp_path: Path) -> None:
    ten, hundred = binary_10(), binary_100()
    del ten["batches.meta.txt"], hundred["fine_label_names.txt"]
    assert open_source(f"cifar10:{write(tmp_path / '10', ten)}").class_names == TEN
    names = open_source(f"cifar100:{write(tmp_path / '100', hundred)}").class_names
    assert (names[0], names[-1], len(names)) == ("0", "99", 100)


@pytest.mark.parametrize("rest", ["", ":", ":/no/such/folder", ":~no-such-user/x", ":\0"])
def test_no_folder(rest: str) -> None:
    with pytest.raises(DataError, match=r"data\.source: no such folder .*Write cifar10:DIR"):
        open_source(f"cifar10{rest}")


def test_a_folder_without_it_says_what_was_looked_for(tmp_path: Path) -> None:
    write(tmp_path, binary_10())
    with pytest.raises(DataError, match=r"no CIFAR-100 there.*test\.bin, cifar-100-binary/, cifar-100-binary\.tar\.gz"):
        open_source(f"cifar100:{tmp_path}")


def altered(contents: Contents, name: str, content: bytes | None) -> Contents:
    kept = {key: value for key, value in contents.items() if key != name}
    return kept if content is None else kept | {name: content}


ROWS, LABELS = TRAIN[1]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (altered(binary_10(), "test_batch.bin", None), r"the test set is missing: no test_batch\.bin"),
        (altered(python_10(), "test_batch", None), r"the test set is missing: no test_batch\."),
        (altered(binary_10(10), "data_batch_4.bin", None), r"training batches 1 to 10, these are missing: \[4\]"),
        (
            altered(binary_10(), "data_batch_2.bin", b""),
            r"data_batch_2\.bin, offset 0: cut short: record 0 has 0 bytes",
        ),
        (
            altered(binary_10(), "test_batch.bin", binary(*TEST)[:-1]),
            r"test_batch\.bin, offset 9219: cut short: record 3 has 3072 bytes, not 3073",
        ),
        (
            altered(binary_10(), "data_batch_1.bin", binary(ROWS, LABELS + 8)),
            r"data_batch_1\.bin, offset 3073: a label outside 0\.\.9 \(found 10\)",
        ),
        (altered(binary_10(), "test_batch.bin", None) | {"test_batch.bin.gz": b"x"}, "damaged gzip stream"),
        (altered(binary_10(), "batches.meta.txt", b"cat\ndog\n"), r"batches\.meta\.txt: 10 classes have 2 names"),
        (altered(binary_10(), "batches.meta.txt", b"\xff"), r"batches\.meta\.txt: not text"),
        (altered(python_10(), "batches.meta", pickled({})), r"batches\.meta: label_names is not a list of names"),
        (altered(python_10(), "data_batch_1", b"junk"), r"data_batch_1, offset 0: not a pickle that can be read"),
        (altered(python_10(), "data_batch_1", python2(ROWS, LABELS)[:-9]), "not a pickle that can be read"),
        (altered(python_10(), "data_batch_1", b"\x80\x02]."), r"data_batch_1: not a dictionary \(found 'list'\)"),
        (
            altered(python_10(), "data_batch_1", b"\x80\x02cos\nsystem\nU\2idR."),
            "asks for 'os system', which is refused",
        ),
        (altered(python_10(), "data_batch_1", python2(ROWS, LABELS[:-1])), "6 images have 5 labels"),
        (
            altered(python_10(), "data_batch_1", python2(ROWS[:, 1:], LABELS)),
            r"not a uint8 array .*found 'uint8 \(6, 30",
        ),
        (altered(python_10(), "data_batch_1", python2(ROWS[:0], LABELS[:0])), r"not a uint8 array \(n,3072\)"),
        (
            altered(python_10(), "data_batch_1", python2(ROWS, LABELS + 8)),
            r"labels is not a list of whole numbers 0\.\.9",
        ),
        (
            altered(python_10(), "data_batch_1", python2(ROWS, LABELS - 9)),
            r"labels is not a list of whole numbers 0\.\.9",
        ),
        (
            altered(python_10(), "data_batch_1", python2(ROWS, LABELS, "fine_labels")),
            "labels is not a list.*It has: batch_label, data, filenames, fine_labels",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, contents: Contents, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_source(f"cifar10:{write(tmp_path, contents)}")
    assert str(tmp_path) in str(caught.value)


def test_a_coarse_label_out_of_range(tmp_path: Path) -> None:
    contents = altered(binary_100(), "test.bin", binary(FINE_TEST[0], FINE_TEST[1] % 21, FINE_TEST[1]))
    with pytest.raises(DataError, match=r"test\.bin, offset \d+: a label outside 0\.\.19 \(found 20\)"):
        open_source(f"cifar100:{write(tmp_path, contents)}")


@pytest.mark.parametrize("kind", ["u1", "i8"])
def test_labels_may_be_an_array(tmp_path: Path, kind: str) -> None:
    labels = array(LABELS.astype(kind).tobytes(), LABELS.shape, kind)
    contents = python_10() | {"data_batch_1": pickled({"data": array(ROWS.tobytes(), ROWS.shape), "labels": labels})}
    dataset = open_source(f"cifar10:{write(tmp_path, contents)}")
    assert dataset.labels[: len(LABELS)].tolist() == LABELS.tolist()
    assert dataset.labels.dtype == np.int64


def test_rows_may_lie_column_by_column(tmp_path: Path) -> None:
    data = array(np.asfortranarray(ROWS).tobytes("A"), ROWS.shape, columns=True)
    contents = python_10() | {"data_batch_1": pickled({"data": data, "labels": numbers(LABELS)})}
    assert np.array_equal(open_source(f"cifar10:{write(tmp_path, contents)}").images[: len(ROWS)], upright(ROWS))


def real(test_data: Path, folder: Path) -> Dataset:
    """Returns the first 3000 real records as training set, the next 1000 as test set."""
    content = gzip.decompress((test_data / "cifar10" / "data_batch_1.first4000.bin.gz").read_bytes())
    names = (test_data / "cifar10" / "batches.meta.txt").read_bytes()
    parts = {"data_batch_1.bin": content[: 3000 * 3073], "test_batch.bin": content[3000 * 3073 :]}
    return open_source(f"cifar10:{write(folder, parts | {'batches.meta.txt': names})}")


def test_real_records(test_data: Path, tmp_path: Path) -> None:
    dataset = real(test_data, tmp_path)
    assert (len(dataset.labels), len(dataset.test_labels)) == (3000, 1000)
    assert dataset.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert dataset.class_names == TEN
    # The average over the whole training set is .4914 .4822 .4465.
    assert np.allclose(dataset.images.mean((0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=0.01)
    order = gzip.decompress((test_data / "cifar10" / "train_order.csv.gz").read_bytes()).decode().split()[1:4001]
    assert [*dataset.labels, *dataset.test_labels] == [int(line.split(",")[1]) for line in order]
