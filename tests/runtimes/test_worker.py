"""Workers of a few lines: what a process does to the one that started it, whatever runs in it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from galenic.record.errors import ModelError
from galenic.runtimes.worker import Worker

ECHO = """
import os, sys, time
from galenic.runtimes.frames import read_frame, write_frame
orders, answers = sys.stdin.buffer, sys.stdout.buffer
print("all is well", file=sys.stderr, flush=True)
while True:
    try:
        kind, payload = read_frame(orders)
    except EOFError:
        sys.exit(0)
    if kind == b"leav":
        print("I am off\\nfor good", file=sys.stderr, flush=True)
        os._exit(3)
    if kind == b"crsh":
        os.abort()
    if kind == b"slee":
        time.sleep(60)
    if kind == b"long":
        payload = bytes(10**6)
    write_frame(answers, kind, payload)
"""
PARENT = """
import sys
from galenic.runtimes.worker import Worker
worker = Worker("echo_worker", "it")
worker.ask(b"echo", b"", within_s=60)
print(worker.process_id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Worker("echo_worker", "model.pte in ExecuTorch")


def gone(process_id: int) -> bool:
    """Whether there is no such process, not even a zombie, within ten seconds."""
    until = time.monotonic() + 10
    while psutil.pid_exists(process_id) and time.monotonic() < until:
        time.sleep(0.02)
    return not psutil.pid_exists(process_id)


def test_it_answers_one_question_after_the_other(echo):
    assert echo.ask(b"echo", b"one", within_s=60) == (b"echo", b"one")
    large = bytes(range(256)) * 4000  # more than a pipe holds
    assert echo.ask(b"echo", large, within_s=60, most_bytes=len(large)) == (b"echo", large)


def test_it_is_gone_when_it_is_closed_and_refuses_from_then_on(echo):
    echo.ask(b"echo", b"", within_s=60)
    echo.close()
    assert not psutil.pid_exists(echo.process_id)
    with pytest.raises(ModelError, match=r"^\[model\] model\.pte in ExecuTorch: its worker .* \(it was closed\)"):
        echo.ask(b"echo", b"", within_s=60)
    echo.close()


def test_it_is_gone_when_nobody_holds_it_any_more(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker("echo_worker", "it")
    process_id = worker.process_id
    del worker
    assert not psutil.pid_exists(process_id)


def test_one_that_leaves_says_its_last_words_and_only_those(echo):
    echo.ask(b"echo", b"", within_s=60)
    with pytest.raises(ModelError, match=r"\(left with 3; its last words: for good\)"):
        echo.ask(b"leav", b"", within_s=60)
    assert not psutil.pid_exists(echo.process_id)


def test_one_that_crashes_is_named_with_its_signal(echo):
    echo.ask(b"echo", b"", within_s=60)
    with pytest.raises(ModelError, match=r"\(ended by SIGABRT\)"):
        echo.ask(b"crsh", b"", within_s=60)
    assert not psutil.pid_exists(echo.process_id)


def test_one_that_was_killed_between_two_questions_is_said_at_the_next(echo):
    echo.ask(b"echo", b"", within_s=60)
    os.kill(echo.process_id, signal.SIGKILL)
    with pytest.raises(ModelError, match=r"\(ended by SIGKILL\)"):
        echo.ask(b"echo", bytes(10**6), within_s=60, most_bytes=10**6)
    assert not psutil.pid_exists(echo.process_id)


def test_one_that_does_not_answer_in_time_is_killed(echo):
    echo.ask(b"echo", b"", within_s=60)
    with pytest.raises(ModelError, match=r"\(no answer within 0\.2 s\)"):
        echo.ask(b"slee", b"", within_s=0.2)
    assert not psutil.pid_exists(echo.process_id)


def test_one_that_answers_more_than_it_should_is_killed(echo):
    with pytest.raises(ModelError, match=r"a frame of 1000000 bytes where at most 65536 are taken"):
        echo.ask(b"long", b"", within_s=60)
    assert not psutil.pid_exists(echo.process_id)


def test_one_that_cannot_start_says_why():
    with pytest.raises(ModelError, match=r"\(left with 1; its last words: .*No module named no_such_worker"):
        Worker("no_such_worker", "it").ask(b"echo", b"", within_s=60)


def test_after_an_interruption_no_question_gets_the_answer_of_another(echo):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    echo.ask(b"echo", b"", within_s=60)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            echo.ask(b"slee", b"", within_s=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not psutil.pid_exists(echo.process_id)
    with pytest.raises(ModelError, match="it was closed"):
        echo.ask(b"echo", b"", within_s=60)


def test_it_ends_with_the_process_that_started_it_however_that_ends(echo, tmp_path):
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        process_id = int(parent.stdout.readline())
        assert psutil.pid_exists(process_id)
        parent.kill()
    assert gone(process_id)


def test_the_folder_that_one_stands_in_holds_no_modules_of_it(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text("open('was_here', 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="No module named echo_worker"):
        Worker("echo_worker", "it").ask(b"echo", b"", within_s=60)
    assert not Path("was_here").exists()
