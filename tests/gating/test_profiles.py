import tomllib

import pytest

from galenic.compress.methods import METHODS
from galenic.gating.profiles import all_profiles, check_runtime, fragment, load_profile
from galenic.record.errors import RecipeError
from galenic.record.profile import RUNTIME_NAMES
from galenic.record.recipe import PhaseRecipe
from galenic.runtimes.load import RUNTIMES


def test_the_packaged_profiles_hold_the_numbers_of_the_table():
    limits = {p.name: (p.device, p.size_bytes, p.p90_ms, p.memory_mb) for p in all_profiles()}
    assert limits == {
        "blood-analyser": ("blood-analyser", None, 30_000, None),
        "browser": ("browser", 20_000_000, 100, 2000),
        "cloud": ("cloud", None, None, None),
        "cortex-m4": ("cortex-m4", None, None, None),
        "cortex-m7": ("cortex-m7", None, None, None),
        "fitness-band": ("fitness-band", 5_000_000, 100, 512),
        "host": ("host", 50_000_000, 100, 1000),
        "intel-box": ("intel-box", None, 100, 2000),
        "phone": ("phone", 50_000_000, None, 2000),
        "poc-retina": ("poc-retina", None, 30_000, None),
        "poc-ultrasound": ("poc-ultrasound", None, 5_000, None),
        "point-of-care": ("point-of-care", None, 30_000, None),
        "raspberry-pi": ("raspberry-pi", None, 100, 1000),
        "real-time-hard": ("real-time-device", None, 10, None),
        "real-time-soft": ("real-time-device", None, 100, None),
        "watch": ("watch", 5_000_000, 100, 1000),
    }


def test_precisions_and_accuracies_are_limits_where_the_table_names_them():
    precisions = {p.name: p.precisions for p in all_profiles() if p.precisions}
    both = ("int8", "int4")
    assert precisions == {"phone": ("int8",), "watch": both, "fitness-band": both}
    floors = {p.name: p.accuracy_floor for p in all_profiles() if p.accuracy_floor}
    assert floors == dict.fromkeys(("blood-analyser", "poc-retina", "poc-ultrasound", "point-of-care"), 0.95)
    for name in floors:
        assert "an accuracy of 95 % first" in load_profile(name).summary
        for preset in load_profile(name).preset:
            assert tomllib.loads(preset.recipe)["gate"]["floors"]["accuracy"] == 0.95


@pytest.mark.parametrize("name", ["cortex-m4", "cortex-m7"])
def test_an_embedded_preset_prunes_before_it_quantizes(name):
    (preset,) = load_profile(name).preset
    phases = [PhaseRecipe.model_validate(one).methods for one in tomllib.loads(preset.recipe)["phase"]]
    assert phases == [("soft_target",), ("soft_target", "gradual_magnitude"), ("static_w4a8",)]


def test_microcontrollers_are_limited_by_flash_and_ram():
    found = {p.name: (p.flash_bytes, p.ram_bytes) for p in all_profiles() if p.flash_bytes}
    # STM32F446RE: 512 KB and 128 KB; STM32F746: 1 MB and 320 KB, of 1,024 bytes each
    assert found == {"cortex-m4": (512 * 1024, 128 * 1024), "cortex-m7": (1024 * 1024, 320 * 1024)}


def test_the_energies_are_what_mlperf_tiny_measured():
    watch, band, m4, m7 = (load_profile(name).power for name in ("watch", "fitness-band", "cortex-m4", "cortex-m7"))
    macs = {"ic": 12.5e6, "vww": 7.49e6, "kws": 2.66e6, "ad": 0.264e6}
    # median energy of an inference in uJ, from the public logs of v0.5 (reference, L4R5ZI) and v1.2 (ST, L4R5ZI and H7A3ZI)
    portable = {"ic": 29207.0, "vww": 24312.6, "kws": 7373.7, "ad": 416.3}
    vendors = {"ic": 6919.4, "vww": 3894.6, "kws": 1820.5, "ad": 203.4}
    larger = {"ic": 5090.3, "vww": 2965.5, "kws": 1375.6, "ad": 165.7}
    per_mac = [[1000 * one[task] / macs[task] for task in macs] for one in (portable, vendors, larger)]
    assert m4.nj_per_mac_high == pytest.approx(max(per_mac[0]), abs=0.01)
    assert m4.nj_per_mac_low == pytest.approx(min(per_mac[1]), abs=0.005)
    assert min(per_mac[0]) < m4.nj_per_mac <= m4.nj_per_mac_high
    # Portable kernels were measured on the M4 alone: its ratio, task by task, makes them of the M7's vendor kernels
    scaled = [vendor * a / b for a, b, vendor in zip(*per_mac, strict=True)]
    assert scaled == pytest.approx([1.72, 2.47, 2.09, 1.29], abs=0.01)
    for power in (watch, m7):
        assert (power.nj_per_mac_low, power.nj_per_mac_high) == pytest.approx((min(per_mac[2]), max(scaled)), abs=0.005)
        assert power.nj_per_mac == pytest.approx(0.49 * 3.2 / 0.75, abs=0.01)
        assert min(scaled) < power.nj_per_mac < max(scaled)
        assert "scaled to portable kernels by a Cortex-M4's ratio" in power.source
    assert (watch.battery_wh, band.battery_wh) == (1.1, 0.25)
    assert watch.base_power_mw == pytest.approx(1100 / 18, abs=0.2)  # 18 h
    assert 5 * 24 < 250 / band.base_power_mw < 7 * 24


@pytest.mark.parametrize("profile", all_profiles(), ids=lambda profile: profile.name)
def test_a_packaged_preset_is_for_its_profiles_runtimes_and_methods_that_exist(profile):
    for preset in profile.preset:
        values = tomllib.loads(fragment(profile, preset))
        assert values["profile"] == profile.name
        assert values["runtime"] in profile.runtimes
        named = [name for phase in values["phase"] for name in PhaseRecipe.model_validate(phase).methods]
        assert set(named) <= {method.name for method in METHODS}
    assert set(profile.runtimes) <= set(RUNTIME_NAMES)


def test_every_runtime_that_exists_can_be_named():
    assert {runtime.name for runtime in RUNTIMES} <= set(RUNTIME_NAMES)


def test_a_runtime_that_a_profile_does_not_have_is_refused_and_the_others_named():
    watch = load_profile("watch")
    with pytest.raises(RecipeError, match="'openvino' for the profile watch") as caught:
        check_runtime(watch, "openvino")
    for name in watch.runtimes:
        assert name in caught.value.expected
    check_runtime(watch, "litert")
    check_runtime(load_profile("host"), "openvino")  # which says nothing of runtimes


HEAD = 'name = "x"\nsummary = ""\ndevice = "x"\n'
PRESET = "[[preset]]\nname = \"p\"\nsummary = \"\"\nrecipe = '''\n{}\n'''\n"


def test_only_the_host_is_the_host():
    assert [p.name for p in all_profiles() if p.device == "host"] == ["host"]


def test_by_name():
    assert load_profile("watch").p90_ms == 100


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(RecipeError, match="the nearest is 'fitness-band'"):
        load_profile("fitnes-band")


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "pump.toml"
    path.write_text('name = "pump"\nsummary = "An infusion pump"\ndevice = "pump"\np90_ms = 5\n')
    assert load_profile(path).p90_ms == load_profile(str(path)).p90_ms == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nsummary = ""\ndevice = "x"\np90ms = 5\n', "the nearest key is 'p90_ms'"),
        ('name = "x"\nsummary = ""\ndevice = "x"\np90_ms = "fast"\n', "the key 'p90_ms'"),
        ('name = "x"\nsummary = ""\ndevice = "x"\np90_ms = -1\n', "a number above 0"),
        ('name = "x"\nsummary = ""\ndevice = "x"\np90_ms = nan\n', "a number above 0"),
        ('name = "x"\n', "the key 'summary'"),
        ("name = ", "not TOML"),
        (f"{HEAD}flash_bytes = 0\n", "a number above 0"),
        (f'{HEAD}precisions = ["int7"]\n', "the key 'precisions'"),
        (f"{HEAD}accuracy_floor = 95\n", "the key 'accuracy_floor'"),
        (f'{HEAD}runtimes = ["litrt"]\n', "the nearest is 'litert'"),
        (f"{HEAD}[power]\nbattery_wh = 1\n", "the key 'power.source'"),
        (f'{HEAD}[power]\nsource = "s"\nbatery_wh = 1\n', "the nearest key is 'battery_wh'"),
        (f'{HEAD}[power]\nsource = "s"\nnj_per_mac = 1\nnj_per_mac_low = 2\n', "has to lie between"),
        (f'{HEAD}[power]\nsource = "s"\nnj_per_mac_low = 2\n', "has to lie between"),
        (HEAD + PRESET.format("runtime = "), "whose recipe is not TOML"),
        (HEAD + PRESET.format('runtime = "c"\nphases = 1'), "'phases' of the preset 'p' in .*, which no recipe has"),
        (
            HEAD + PRESET.format('runtime = "c"\ntask = 1'),
            "'task' of the preset 'p' in .*, which is not the device's to say",
        ),
        (HEAD + PRESET.format('runtime = "C"'), "under preset 'p'"),
        (f'{HEAD}runtimes = ["c"]\n' + PRESET.format('runtime = "litert"'), "the profile's own runtimes: c"),
    ],
)
def test_a_wrong_file_names_itself_and_the_key(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_profile(path)
    assert "wrong.toml" in caught.value.given


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(RecipeError, match="No such file"):
        load_profile(tmp_path / "none.toml")
