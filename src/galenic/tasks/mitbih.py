"""What the literature agreed on for the MIT-BIH Arrhythmia Database: classes of beats, and a split by patient. Data alone.

Classes: ANSI/AAMI EC57 (1998, 2012), in the mapping of de Chazal, O'Dwyer, Reilly, "Automatic classification of heartbeats
using ECG morphology and heartbeat interval features", IEEE Trans. Biomed. Eng. 51 (2004) 1196-1206, doi:10.1109/TBME.2004.827359.
There, escape beats (e, j) are N; PhysioNet's own ``bxb`` counts them as S. Symbols that the database does not use (B, n, r, ?)
have no place in that mapping, and none is guessed here.

Split: DS1 to train and DS2 to test, 22 records each, of the same paper. 102, 104, 107 and 217 are of paced hearts, which EC57
leaves out. Every record is of another person but 201 and 202, which are of the same man: the split puts 201 into DS1 and 202
into DS2. Later work keeps the split as it is, so that numbers can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping

AAMI = ("N", "S", "V", "F", "Q")
"""Not ectopic, supraventricular ectopic, ventricular ectopic, fusion, unclassifiable or paced."""

ECTOPIC = ("S", "V", "F")

AAMI_OF_SYMBOL: Mapping[str, str] = {
    **dict.fromkeys("NLRej", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VE", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}

NOT_BEATS = frozenset("[!]x()ptu`'^|~+sT*D=\"@ ")
"""Annotations of rhythm, noise, waves and remarks (PhysioNet's ecgcodes.h)."""

DS1 = tuple(
    map(
        str,
        (101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230),
    )
)
DS2 = tuple(
    map(
        str,
        (100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234),
    )
)
PACED = ("102", "104", "107", "217")
SAME_MAN = ("201", "202")
