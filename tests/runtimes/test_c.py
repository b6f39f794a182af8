"""A net in C that was written by hand: its two answers are the sum of its inputs, and the first of them."""

import hashlib
import os
import shutil

import numpy as np
import pytest

from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError, MissingPackage, ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.session import WorkerSession
from galenic.runtimes import c_cortex_m
from galenic.runtimes.c import RUNTIME, load
from galenic.runtimes.load import RUNTIMES

TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(3,), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
FACTS = (
    '/* net: {"inputs": 3, "outputs": 2, "channel_last": true, "input_scale": 0.5, "input_zero": 1, '
    '"output_scale": 0.25, "output_zero": -2} */\n'
)
NET = """#include <stdint.h>
enum { GALENIC_INPUTS = 3, GALENIC_OUTPUTS = 2 };
static int8_t values[3], answers[2];
int8_t *galenic_input(void) { return values; }
const int8_t *galenic_run(void)
{
    answers[0] = (int8_t)(values[0] + values[1] + values[2]);
    answers[1] = values[0];
    BODY
    return answers;
}
"""
ROWS = np.array([[1.0, 2.0, -1.5], [0.0, 0.0, 0.0], [3.0, 4.0, 5.0]], np.float32)
# integers: 2 value + 1; logits: (sum + 2) / 4 and (first + 2) / 4
LOGITS = np.array([[(3 + 5 - 2 + 2) / 4, 5 / 4], [5 / 4, 3 / 4], [(7 + 9 + 11 + 2) / 4, 9 / 4]], np.float32)
ARM = pytest.mark.skipif(
    any(shutil.which(one) is None for one in (c_cortex_m.COMPILER, c_cortex_m.MACHINE)),
    reason=f"no compiler for a Cortex-M or no QEMU: {c_cortex_m.INSTALL}",
)
DEVICES = ["cpu", pytest.param("cortex-m4", marks=ARM), pytest.param("cortex-m7", marks=ARM)]


@pytest.fixture
def net(tmp_path):
    def make(body="", text=NET, facts=FACTS):
        data = (facts + text.replace("BODY", body)).encode()
        path = tmp_path / "net.c"
        path.write_bytes(data)
        return Artifact(
            path=path,
            runtime="c",
            precision="int8",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            lineage=("by hand",),
            preprocessing=TABLE,
            classes=("a", "b"),
        )

    return make


@pytest.mark.parametrize("device", DEVICES)
def test_it_answers_what_the_net_computes_by_hand(net, device):
    answers = load(net(), device=device).run(ROWS)
    assert (answers.tolist(), answers.dtype) == (LOGITS.tolist(), np.float32)


@pytest.mark.parametrize("device", DEVICES)
def test_one_row_answers_as_many_do(net, device):
    session = load(net(), device=device)
    np.testing.assert_array_equal(np.concatenate([session.run(row[None]) for row in ROWS]), LOGITS)


def test_its_process_is_timed_in_there(net):
    session = load(net())
    assert isinstance(session, WorkerSession)
    session.run(ROWS)
    assert 0 < session.inference_ns < 10**9
    os.kill(session.process_id, 0)
    session.close()
    with pytest.raises(ModelError, match="it was closed"):
        session.run(ROWS)


def test_its_place_says_that_no_microcontroller_was_timed(net):
    place = load(net()).place
    assert (place.runtime, place.device, place.threads) == ("c", "cpu", 1)
    assert "not for a microcontroller" in place.caveat
    assert set(place.versions) == {"gcc"}


@ARM
def test_a_board_counts_instructions_flash_and_ram(net):
    short, long = (
        load(net(f"for (volatile int i = 0; i < {turns}; i++) ;"), device="cortex-m4") for turns in (0, 10000)
    )
    for session in (short, long):
        session.run(ROWS)
    # a turn loads, adds, stores, loads, compares and branches: between 5 and 9 instructions
    assert 50_000 < long.instructions - short.instructions < 90_000
    assert short.static_bytes == 5
    assert 40 < short.flash_bytes < 400
    assert 0 < short.stack_bytes < 1024
    assert short.footprint().ram_bytes == 5 + short.stack_bytes
    assert short.place.caveat == "QEMU: instructions counted, no time measured"


@ARM
def test_the_stack_is_what_the_net_used(net):
    plain, deep = (
        load(net(body), device="cortex-m7")
        for body in ("", "volatile char room[3000]; for (int i = 0; i < 3000; i++) room[i] = 1;")
    )
    for session in (plain, deep):
        session.run(ROWS)
    assert 2900 < deep.stack_bytes - plain.stack_bytes < 3100


@ARM
def test_a_net_that_breaks_on_the_board_is_an_error(net):
    with pytest.raises(ModelError, match="on cortex-m4 in QEMU: it left with 1"):
        load(net("*(volatile int *)0xfffffff0 = 1;"), device="cortex-m4").run(ROWS)


def test_a_net_that_crashes_ends_its_process_alone(net):
    session = load(net("*(volatile int *)8 = 1;"))
    with pytest.raises(ModelError, match=r"does not answer any more \(ended by SIGSEGV"):
        session.run(ROWS)


@pytest.mark.parametrize("device", DEVICES)
def test_what_does_not_compile_is_refused_with_the_compilers_words(net, device):
    with pytest.raises(ModelError, match=r"net\.c:10:\d+: error: .*nonsense"):
        load(net("nonsense;"), device=device)


@pytest.mark.parametrize("device", DEVICES)
def test_a_number_that_its_type_would_cut_is_refused(net, device):
    with pytest.raises(ModelError, match="300"):
        load(net("static const uint8_t wide = 300; answers[1] = wide;"), device=device)


def test_a_file_that_does_not_say_what_it_is_is_refused(net):
    with pytest.raises(ModelError, match="no line that says what the net is"):
        load(net(facts=""))


def test_one_changed_byte_is_refused_before_anything_is_compiled(net):
    made = net()
    made.path.write_bytes(made.path.read_bytes().replace(b"values[0];", b"values[1];"))
    with pytest.raises(ModelError, match="has changed"):
        load(made)


def test_another_device_is_refused_with_those_that_there_are(net):
    with pytest.raises(InputError, match="the device 'cortex-m0' for c; expected one of cpu, cortex-m4, cortex-m7"):
        load(net(), device="cortex-m0")


def test_rows_of_another_shape_are_refused(net):
    with pytest.raises(DataError, match=r"expected float32 \(batch, 3\)"):
        load(net()).run(np.zeros((1, 4), np.float32))


def test_without_a_compiler_it_says_what_installs_one(net, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert not RUNTIME.available
    with pytest.raises(MissingPackage, match="the program gcc; run: apt-get install gcc"):
        load(net())
    with pytest.raises(MissingPackage, match="arm-none-eabi-gcc, arm-none-eabi-size, qemu-system-arm; run: apt-get"):
        load(net(), device="cortex-m4")


def test_no_outside_file_is_compiled():
    assert [runtime.name for runtime in RUNTIMES if ".c" in runtime.suffixes] == []
