import hashlib
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from galenic.record.errors import DataError, InputError
from galenic.record.task import TaskKind
from galenic.tasks import load_task, medmnist
from galenic.tasks.medmnist import parse_flag
from galenic.tasks.medmnist_table import BASE_URL, SETS


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path):
    """A loopback server over tmp_path/served; (url, folder, asked paths)."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        http.asked = []
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder, http.asked
        http.shutdown()
        thread.join()


@pytest.fixture
def breast(monkeypatch):
    """The bytes of a small set in the shape of BreastMNIST, and its md5 put into the table."""

    def make(path, side=28):
        random = np.random.default_rng(0)
        arrays = {}
        for split, count in (("train", 12), ("val", 6), ("test", 6)):
            arrays[f"{split}_images"] = random.integers(0, 256, (count, side, side)).astype(np.uint8)
            arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
        np.savez(path, **arrays)
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        changed = tuple(
            replace(entry, md5={**entry.md5, side: md5}) if entry.flag == "breastmnist" else entry for entry in SETS
        )
        monkeypatch.setattr(medmnist, "SETS", changed)

    return make


def test_download_then_cache(server, breast, tmp_path):
    url, folder, asked = server
    breast(folder / "breastmnist.npz")
    options = {"url": url, "cache": tmp_path / "cache"}
    task = load_task("medmnist:breastmnist", **options)
    assert task.name == "BreastMNIST 28x28"
    assert task.positive == (0,)
    assert task.classes == ("malignant", "normal or benign")
    assert len(task.train) == 12
    assert len(asked) == 1
    assert asked[0].split("?")[0] == "/breastmnist.npz"
    again = load_task("medmnist:breastmnist", **options)
    assert again.content_hash == task.content_hash
    assert len(asked) == 1


def test_environment_names_server_and_cache(server, breast, tmp_path, monkeypatch):
    url, folder, asked = server
    breast(folder / "breastmnist_64.npz", side=64)
    monkeypatch.setenv("GALENIC_MEDMNIST_URL", url + "/")
    monkeypatch.setenv("GALENIC_DATA", str(tmp_path / "data"))
    task = load_task("medmnist:breastmnist@64")
    assert task.preprocessing.raw_shape == (64, 64, 1)
    assert (tmp_path / "data" / "medmnist" / "breastmnist_64.npz").is_file()
    assert asked[0].startswith("/breastmnist_64.npz")


def test_another_file_than_published_stays_out_of_the_cache(server, breast, tmp_path):
    url, folder, _ = server
    breast(folder / "breastmnist.npz")
    data = bytearray((folder / "breastmnist.npz").read_bytes())
    data[500] ^= 1
    (folder / "breastmnist.npz").write_bytes(data)
    with pytest.raises(DataError, match="not the published file"):
        load_task("medmnist:breastmnist", url=url, cache=tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_damaged_cache_is_fetched_again(server, breast, tmp_path):
    url, folder, asked = server
    breast(folder / "breastmnist.npz")
    options = {"url": url, "cache": tmp_path / "cache"}
    load_task("medmnist:breastmnist", **options)
    (tmp_path / "cache" / "medmnist" / "breastmnist.npz").write_bytes(b"cut")
    load_task("medmnist:breastmnist", **options)
    assert len(asked) == 2


def test_missing_on_the_server(server, tmp_path):
    with pytest.raises(DataError, match=r"could not be downloaded .*404"):
        load_task("medmnist:breastmnist", url=server[0], cache=tmp_path / "cache")


def test_no_server(tmp_path):
    with pytest.raises(DataError) as caught:
        load_task("medmnist:breastmnist", url="http://127.0.0.1:9", cache=tmp_path / "cache")
    assert "could not be downloaded" in caught.value.given
    assert "path" in caught.value.todo


def test_a_local_file_needs_no_network(breast, tmp_path):
    path = tmp_path / "mine.npz"
    breast(path)
    assert load_task("medmnist:breastmnist", path=path, url="http://127.0.0.1:9").name == "BreastMNIST 28x28"


def test_a_local_file_of_other_content_is_said(tmp_path, breast, monkeypatch):
    path = tmp_path / "mine.npz"
    breast(path)
    monkeypatch.setattr(medmnist, "SETS", SETS)
    assert load_task("medmnist:breastmnist", path=path).name == "BreastMNIST 28x28, not the published file"


def test_a_local_file_of_another_size(breast, tmp_path):
    path = tmp_path / "mine.npz"
    breast(path, side=64)
    with pytest.raises(InputError, match="ask for medmnist:breastmnist@64"):
        load_task("medmnist:breastmnist", path=path)


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("breatmnist", "did you mean 'breastmnist'"),
        ("organmnist3d", "volumes are not supported yet"),
        ("breastmnist@32", "a size of 28, 64, 128, 224"),
        ("breastmnist@x", "a size of 28, 64, 128, 224"),
    ],
)
def test_wrong_names(argument, part):
    with pytest.raises(InputError) as caught:
        load_task(f"medmnist:{argument}")
    assert part in str(caught.value)


def test_the_table():
    assert BASE_URL == "https://zenodo.org/records/10519652/files/"
    assert len({entry.flag for entry in SETS}) == 12
    assert len({md5 for entry in SETS for md5 in entry.md5.values()}) == 48
    for entry in SETS:
        assert sorted(entry.md5) == [28, 64, 128, 224]
        assert all(len(md5) == 32 and int(md5, 16) for md5 in entry.md5.values())
        assert all(index < len(entry.classes) for index in entry.positive)
    kinds = {entry.flag: entry.kind for entry in SETS if entry.kind is not TaskKind.SINGLE_LABEL}
    assert kinds == {"chestmnist": TaskKind.MULTI_LABEL, "retinamnist": TaskKind.ORDINAL}
    assert parse_flag("retinamnist@224")[0].file_name(224) == "retinamnist_224.npz"


def test_official_files_have_the_published_md5(shared):
    for flag in ("breastmnist", "retinamnist"):
        path = shared(f"{flag}/{flag}.npz")
        assert hashlib.md5(path.read_bytes()).hexdigest() == parse_flag(flag)[0].md5[28]


def test_retinamnist_is_ordinal(shared):
    task = load_task("medmnist:retinamnist", path=shared("retinamnist/retinamnist.npz"))
    assert task.kind is TaskKind.ORDINAL
    assert task.positive == (2, 3, 4)
    assert np.bincount(task.test.labels).tolist() == [174, 46, 92, 68, 20]
    assert task.overlap.total == 0


def test_rebuilt_pneumoniamnist_says_so(shared):
    path = shared("pneumoniamnist/pneumoniamnist_rebuilt.npz")
    task = load_task("medmnist:pneumoniamnist", path=path, overlap="drop-train")
    assert task.name == "PneumoniaMNIST 28x28, not the published file"
    assert task.positive == (1,)
