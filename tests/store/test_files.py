"""Files are there whole or not at all, also on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from galenic.record.errors import StoreError
from galenic.store.files import file_sha256, write_atomic, write_text


def test_sha256_of_the_empty_file_and_of_abc(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "e").write_bytes(b"")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "e") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def half(aside: Path) -> None:
        aside.write_text("ne")
        raise OSError(28, os.strerror(28))

    with pytest.raises(StoreError, match="free some space"):
        write_atomic(path, half)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from galenic.record.errors import StoreError
from galenic.store.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(Path(sys.argv[1]), bytes(100_000))
except StoreError as error:
    print(error.code)
"""


def test_a_real_limit_of_the_operating_system_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "store"
    assert path.read_bytes() == b"old"


def test_a_really_full_disk_leaves_the_old_file(full_disk: Path) -> None:
    path = full_disk / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(StoreError, match=r"model\.onnx could not be written"):
        write_atomic(path, lambda aside: aside.write_bytes(bytes(4_000_000)))
    assert path.read_bytes() == b"old"
    assert [p.name for p in full_disk.iterdir()] == ["model.onnx"]
