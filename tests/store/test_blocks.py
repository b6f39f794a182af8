"""A file of blocks notices what is missing, cut off or changed, and keeps the rest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galenic.record.errors import StoreError
from galenic.store.blocks import BlockFile, Fault, Unsound

SHAPE = (2, 10, 3)


def file_in(folder: Path, about: str = "a") -> BlockFile:
    return BlockFile(folder / "array.blocks", {"about": about}, SHAPE, block_rows=4)


def filled(folder: Path) -> tuple[BlockFile, np.ndarray]:
    file, values = file_in(folder), np.arange(60, dtype=np.float32).reshape(SHAPE)
    with file.held():
        file.mend()
        for part in range(2):
            for block in range(3):
                file.write(part, block, values[part, file.rows(block)])
    return file, values


def unsound(file: BlockFile, part: int) -> Unsound:
    return file.unsound(part, file.part(part, mapped=True))


@pytest.mark.parametrize("mapped", [True, False])
def test_what_was_written_is_read(tmp_path: Path, mapped: bool) -> None:
    file, values = filled(tmp_path)
    assert [file.rows(block) for block in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    for part in range(2):
        read = file.part(part, mapped=mapped)
        assert type(read) is np.ndarray
        assert not read.flags.writeable
        assert (read == values[part]).all()
        assert unsound(file, part) == ((), ())
    assert file.size_bytes == 2 * 10 * 3 * 4


def test_the_layout_by_hand(tmp_path: Path) -> None:
    file, values = filled(tmp_path)
    data = file.path.read_bytes()
    name, head, rest = data.split(b"\n", 2)
    assert name == b"galenic blocks 1"
    assert head == b'{"about": "a", "block_rows": 4, "shape": [2, 10, 3]}'
    assert rest[:16] == hashlib.blake2b(values[0, :4].tobytes(), digest_size=16).digest()
    assert data[4096:] == values.astype("<f4").tobytes()


def test_a_new_file_has_nothing(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    assert file.fault() is Fault.ABSENT
    assert file.mend() is Fault.ABSENT
    assert file.fault() is None
    assert unsound(file, 1) == ((0, 1, 2), ())


def test_another_array_under_this_name_is_put_aside(tmp_path: Path) -> None:
    filled(tmp_path)
    other = file_in(tmp_path, about="b")
    assert other.fault() is Fault.OTHER
    assert other.mend() is Fault.OTHER
    assert unsound(other, 0).missing == (0, 1, 2)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed_and_costs_one_block_at_most(tmp_path: Path, place: int, bit: int) -> None:
    file, values = filled(tmp_path)
    data = bytearray(file.path.read_bytes())
    checksums_end = data.index(b"\n", 20) + 1 + 2 * 3 * 16
    used = [*range(checksums_end), *range(4096, len(data))]  # the rest is padding
    place = used[place % len(used)]
    data[place] ^= 1 << bit
    file.path.write_bytes(data)
    if file.fault() is not None:
        assert place < checksums_end - 2 * 3 * 16, "a damaged head"
        return
    found = [unsound(file, part) for part in range(2)]
    assert [len(each.blocks) for each in found] in ([0, 1], [1, 0])
    for part, each in enumerate(found):
        for block in {0, 1, 2} - set(each.blocks):
            assert (file.part(part, mapped=False)[file.rows(block)] == values[part, file.rows(block)]).all()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_keeps_the_blocks_before_the_cut(tmp_path: Path, share: float) -> None:
    file, values = filled(tmp_path)
    data = file.path.read_bytes()
    length = int(share * len(data))
    file.path.write_bytes(data[:length])
    assert file.fault() is Fault.LENGTH
    assert file.mend() is Fault.LENGTH
    for part in range(2):
        lost = unsound(file, part).blocks
        for block in range(3):
            end = 4096 + (part * 10 + file.rows(block).stop) * 12
            if end <= length:
                assert block not in lost
            if block not in lost:
                assert (file.part(part, mapped=False)[file.rows(block)] == values[part, file.rows(block)]).all()
    assert file.path.stat().st_size == len(data)


def test_a_file_that_has_grown_is_cut(tmp_path: Path) -> None:
    file, _ = filled(tmp_path)
    with file.path.open("ab") as more:
        more.write(b"more")
    assert file.mend() is Fault.LENGTH
    assert file.fault() is None
    assert unsound(file, 0) == ((), ())


def test_a_full_disk_keeps_what_was_written(full_disk: Path) -> None:
    file = BlockFile(full_disk / "array.blocks", {}, (1, 4096, 128), block_rows=512)  # 256 KB a block, 2 MB
    block = np.ones((512, 128), dtype=np.float32)
    file.mend()

    def write_all() -> None:
        for index in range(8):
            file.write(0, index, block)

    with pytest.raises(StoreError, match=r"array\.blocks could not be written"):
        write_all()
    lost = unsound(file, 0)
    assert lost.damaged == ()
    assert lost.missing == tuple(range(lost.missing[0], 8))
    assert lost.missing[0] >= 2, "blocks before the disk was full are there"
