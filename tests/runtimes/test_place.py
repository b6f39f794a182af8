import os
import subprocess
import sys

from galenic.runtimes.place import available_cores, machine_name


def test_the_name_has_the_processor_and_the_cores():
    name, _, cores = machine_name().rpartition(", ")
    assert name
    assert int(cores.split()[0]) == available_cores() >= 1


def test_a_confined_process_says_so():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "from galenic.runtimes.place import machine_name; print(machine_name())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith(", 1 core")
