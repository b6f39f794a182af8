from galenic.tasks.mitbih import AAMI_OF_SYMBOL, DS1, DS2, NOT_BEATS, PACED


def test_the_mapping_is_that_of_the_paper():
    told = {name: "".join(s for s, c in AAMI_OF_SYMBOL.items() if c == name) for name in "NSVFQ"}
    assert told == {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
    assert not NOT_BEATS & set(AAMI_OF_SYMBOL)


def test_the_split_is_that_of_the_paper():
    assert (len(DS1), len(DS2), len(PACED)) == (22, 22, 4)
    assert not set(DS1) & set(DS2)
    numbers = {*range(100, 125), *range(200, 235)} - {110, 120, 204, 206, 211, 216, 218, 224, 225, 226, 227, 229}
    assert {int(name) for name in (*DS1, *DS2, *PACED)} == numbers
    assert "201" in DS1
    assert "202" in DS2
