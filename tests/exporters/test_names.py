from galenic.exporters.names import unique


def test_a_name_that_comes_again_gets_a_number():
    taken = {"input"}
    assert [unique(name, taken) for name in ("a", "a", "b", "a", "input")] == ["a", "a:1", "b", "a:2", "input:1"]
    assert taken == {"input", "a", "a:1", "b", "a:2", "input:1"}
