import pytest

from galenic.gating.profiles import all_profiles, load_profile
from galenic.record.errors import RecipeError


def test_the_packaged_profiles_hold_the_numbers_of_the_table():
    limits = {p.name: (p.device, p.size_bytes, p.p90_ms, p.memory_mb) for p in all_profiles()}
    assert limits == {
        "fitness-band": ("fitness-band", 5_000_000, 100, 512),
        "host": ("host", 50_000_000, 100, 1000),
        "phone": ("phone", 50_000_000, None, 2000),
        "point-of-care": ("point-of-care", None, 30_000, None),
        "real-time-hard": ("real-time-device", None, 10, None),
        "real-time-soft": ("real-time-device", None, 100, None),
        "watch": ("watch", 5_000_000, 100, 1000),
    }


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
