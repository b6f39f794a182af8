"""Zips that are no packages, or want more than to be read."""

from __future__ import annotations

import io
import json
import stat
import warnings
import zipfile

import pytest

from dense_mlpackage import BLOB, MANIFEST, MODEL, ROOT, dense, parts, zipped
from galenic.runtimes.coreml_package import opened

LINK = stat.S_IFLNK | 0o777


def with_entry(name: str, data: bytes = b"x", mode: int = 0) -> bytes:
    """The whole package with one entry more."""
    target = io.BytesIO(dense())
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(target, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there already
        file.writestr(entry, data)
    return target.getvalue()


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_package_is_read_stored_or_deflated_with_or_without_folders(packing: int) -> None:
    whole = parts()
    folders = {"": b"", "Data/": b"", "Data/com.apple.CoreML/": b""}
    for data in (zipped(whole, packing), zipped({**folders, **whole}, packing)):
        found = opened(data)
        assert (found.model, found.weights) == (whole[MODEL], whole[BLOB])


def test_a_package_without_weights_has_none() -> None:
    whole = parts()
    del whole[BLOB]
    assert opened(zipped(whole)).weights == b""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a whole zip"),
        (zipped({}), "it begins with ''"),
        (zipped(parts(), root="dense/"), "it begins with 'dense' instead of a folder NAME.mlpackage"),
        (zipped(parts(), root=""), "it begins with 'Manifest.json'"),
        (zipped(parts(), root=".mlpackage/"), "it begins with '.mlpackage'"),
        (zipped({MODEL: b""}), "it has no Manifest.json"),
        (zipped({"Manifest.json": b"{}"}), f"it has no {MODEL}"),
        (with_entry("../outside"), "'../outside' is not a part of an .mlpackage folder"),
        (with_entry(f"{ROOT}/../outside"), "is not a part of"),
        (with_entry("/etc/passwd"), "'/etc/passwd' is not a part of"),
        (with_entry(f"{ROOT}\\..\\outside"), "is not a part of"),
        (with_entry(f"{ROOT}/Data/other.bin"), "is not a part of"),
        (with_entry("second.mlpackage/Manifest.json"), "is not a part of"),
        (with_entry(f"{ROOT}/{MODEL}"), "is there twice"),
        (with_entry(f"{ROOT}/Data/link", b"/etc/passwd", LINK), "is a link or a device"),
        (with_entry(f"{ROOT}/Data/", b"", stat.S_IFIFO | 0o644), "is a link or a device"),
        (zipped(parts(), zipfile.ZIP_BZIP2), "packed in another way than deflate"),
    ],
)
def test_what_is_no_package_is_refused_with_what_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("\\", "\\\\")):
        opened(data)


def test_an_encrypted_part_is_refused() -> None:
    data = bytearray(dense())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    with pytest.raises(ValueError, match="is encrypted"):
        opened(bytes(data))


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch) -> None:
    bomb = zipped({**parts(), BLOB: bytes(2**27)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**18
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=rf"unpacked it would be 13\d+ bytes, and {2**26} are the most"):
        opened(bomb)


def test_a_part_that_is_longer_than_it_says_is_refused() -> None:
    data = bytearray(zipped({**parts(), BLOB: bytes(4096)}, zipfile.ZIP_DEFLATED))
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1) + 1)
    data[at + 24 : at + 28] = (128).to_bytes(4, "little")
    with pytest.raises(ValueError, match="not a whole zip"):
        opened(bytes(data))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"[" * 10_000,
        b'{"itemInfoEntries": {}, "rootModelIdentifier": "A"}',
        json.dumps({**MANIFEST, "rootModelIdentifier": "C"}).encode(),
        json.dumps({**MANIFEST, "rootModelIdentifier": "B"}).encode(),
        json.dumps({**MANIFEST, "itemInfoEntries": {"A": {"path": "../model.mlmodel"}}}).encode(),
        json.dumps({**MANIFEST, "itemInfoEntries": {"A": {"path": 5}}}).encode(),
    ],
)
def test_a_manifest_of_something_else_is_refused(manifest: bytes) -> None:
    with pytest.raises(ValueError, match=r"its Manifest\.json"):
        opened(zipped({**parts(), "Manifest.json": manifest}))
