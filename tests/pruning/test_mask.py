from __future__ import annotations

import json
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lth.errors import LthError
from lth.pruning.mask import FORMAT, Mask

shapes = st.one_of(
    st.just(()),
    arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5),
    st.just((0,)),
    st.just((3, 0)),
    st.just((1,)),
)
tensors = shapes.flatmap(lambda shape: arrays.arrays(np.bool_, shape)).map(
    lambda value: torch.from_numpy(np.array(value))
)
masks = st.dictionaries(st.text(min_size=1, max_size=3), tensors, max_size=4).map(Mask)


def bools(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


MASK = Mask(
    {"b.weight": bools(1, 0, 0, 1).view(2, 2), "a.weight": bools(0, 0, 0), "empty": torch.ones(0, 4, dtype=torch.bool)}
)


def test_counts():
    assert (MASK.kept, MASK.total, MASK.density) == (2, 7, 2 / 7)
    assert MASK.layer_densities() == {"b.weight": 0.5, "a.weight": 0.0, "empty": 1.0}
    assert MASK.collapsed() == ("a.weight",)
    assert (Mask({}).density, Mask({}).collapsed()) == (1.0, ())
    assert repr(MASK) == "Mask(3 layers, 2 of 7 weights kept)"


def test_equality_is_by_name_and_value_in_whatever_order():
    assert Mask(dict(reversed(MASK.tensors.items()))) == MASK
    assert Mask({"b.weight": bools(1, 0, 0, 1)}) != Mask({"b.weight": bools(1, 0, 0, 1).view(2, 2)})
    assert Mask({"a": bools(1)}) != Mask({"b": bools(1)})
    assert Mask({"a": bools(1)}) != Mask({"a": bools(0)})
    assert MASK != "mask"


@pytest.mark.parametrize("value", [torch.ones(2), torch.ones(2, dtype=torch.uint8), [True]])
def test_only_boolean_tensors(value):
    with pytest.raises(LthError, match=r"a: a mask holds boolean tensors \(found .*\)\. Convert it"):
        Mask({"a": value})


def test_bits_are_in_little_order():
    packed = Mask({"a": bools(1, 1, 0, 0, 0, 0, 0, 1, 0, 1)}).pack()
    assert packed["a"].tolist() == [0b10000011, 0b10]
    assert packed["a"].dtype == torch.uint8


@given(masks)
def test_packing_round_trips(mask):
    packed = mask.pack()
    assert all(len(packed[name]) == (tensor.numel() + 7) // 8 for name, tensor in mask.tensors.items())
    restored = Mask.unpack(packed, {name: tensor.shape for name, tensor in mask.tensors.items()})
    assert restored == mask
    assert list(restored.tensors) == list(mask.tensors)


def test_a_mask_of_a_transposed_tensor_keeps_its_logical_order():
    tensor = bools(1, 0, 0, 1, 1, 0).view(2, 3).t()
    assert Mask.unpack(Mask({"a": tensor}).pack(), {"a": (3, 2)}).tensors["a"].equal(tensor)


@pytest.mark.parametrize(
    ("packed", "shapes", "message"),
    [
        ({"a": [1]}, {"a": (9,)}, "a: 9 weights need 2 packed bytes (found 'torch.uint8 of shape (1,)')"),
        ({"a": [1, 0]}, {"a": (2, 4)}, "a: 8 weights need 1 packed bytes"),
        ({"a": [[1]]}, {"a": (8,)}, "shape (1, 1)"),
        ({"a": [0b1000]}, {"a": (3,)}, "a: the padding bits of the last byte are not zero"),
        ({"a": [1]}, {"b": (8,)}, "do not name the same layers (found ['a', 'b'])"),
        ({"a": [1]}, {}, "do not name the same layers"),
    ],
)
def test_packed_masks_that_do_not_fit_are_refused(packed, shapes, message):
    with pytest.raises(LthError, match=re.escape(message)):
        Mask.unpack({name: torch.tensor(value, dtype=torch.uint8) for name, value in packed.items()}, shapes)


def test_packed_bytes_of_another_type_are_refused():
    with pytest.raises(LthError, match=r"1 packed bytes \(found 'torch\.int64"):
        Mask.unpack({"a": torch.tensor([1])}, {"a": (8,)})


def test_files_round_trip_in_order(tmp_path):
    path = tmp_path / "mask.safetensors"
    MASK.save(path)
    MASK.save(str(path))
    assert Mask.load(path) == Mask.load(str(path)) == MASK
    assert list(Mask.load(path).tensors) == ["b.weight", "a.weight", "empty"]
    assert [file.name for file in tmp_path.iterdir()] == ["mask.safetensors"]


def test_no_pickle_in_the_file(tmp_path):
    MASK.save(tmp_path / "mask")
    packed = safetensors.torch.load((tmp_path / "mask").read_bytes())
    assert {name: value.tolist() for name, value in packed.items()} == {"b.weight": [9], "a.weight": [0], "empty": []}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not a mask file"),
        (
            {"format": "lth-mask-2", "shapes": "{}"},
            "not a mask file (found 'lth-mask-2'). The format must be 'lth-mask-1'",
        ),
        ({"format": FORMAT}, "the shapes in the header cannot be read"),
        ({"format": FORMAT, "shapes": "{"}, "the shapes in the header cannot be read"),
        ({"format": FORMAT, "shapes": "[]"}, "the shapes in the header cannot be read"),
        ({"format": FORMAT, "shapes": '{"a": [-8]}'}, "the shapes in the header cannot be read"),
        ({"format": FORMAT, "shapes": '{"a": 8}'}, "the shapes in the header cannot be read"),
        ({"format": FORMAT, "shapes": json.dumps({"a": [10**9, 10**9]})}, "need 125000000000000000 packed bytes"),
        ({"format": FORMAT, "shapes": '{"b": [8]}'}, "do not name the same layers"),
    ],
)
def test_files_that_are_no_mask_are_refused_by_name(tmp_path, metadata, message):
    path = tmp_path / "odd"
    path.write_bytes(safetensors.torch.save({"a": torch.tensor([1], dtype=torch.uint8)}, metadata))
    with pytest.raises(LthError, match=re.escape(str(path)) + ".*" + re.escape(message)):
        Mask.load(path)


def test_missing_truncated_and_foreign_files_are_refused(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    MASK.save(whole)
    cut.write_bytes(whole.read_bytes()[:-1])
    (tmp_path / "text").write_text("not a mask")
    for name in ("missing", "cut", "text", "."):
        with pytest.raises(LthError, match="cannot read the mask"):
            Mask.load(tmp_path / name)
