import os
import subprocess
import sys

import pytest

from galenic.record.quiet import streams_gathered


def test_what_is_written_past_python_is_gathered_and_what_comes_after_is_shown(capfd):
    with streams_gathered() as lines:
        os.write(2, b"INFO: made a delegate\n")
        os.write(1, b"half a li")
        os.write(1, b"ne\n")
    assert lines == ["INFO: made a delegate", "half a line"]
    os.write(1, b"after\n")
    os.write(2, b"and after\n")
    assert capfd.readouterr() == ("after\n", "and after\n")


def test_an_error_is_not_swallowed_and_the_streams_are_given_back(capfd):
    gathered = []

    def break_down() -> None:
        with streams_gathered() as lines:
            gathered.append(lines)
            os.write(2, b"ERROR: broken\n")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        break_down()
    assert gathered == [["ERROR: broken"]]
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_what_python_has_not_written_yet_keeps_its_place():
    code = (
        "import os\nfrom galenic.record.quiet import streams_gathered\n"
        "print('before')\nwith streams_gathered() as lines:\n    os.write(1, b'meanwhile\\n')\nprint('after', lines)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "before\nafter ['meanwhile']\n"
