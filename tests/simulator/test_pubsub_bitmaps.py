"""Lists of field names are encoded as bitmaps."""

import pytest

from simulator.pubsub.payloads import bitmaps

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["F22", "F4.Street"], ["0x400000", "4-0x01"]),
        (["F16", "F22"], ["0x410000"]),
        (["F6.C7", "F6.C8"], ["6-0x0180"]),
        (["F12", "F19", "F20", "F21", "F22", "F23", "F27"], ["0x08F81000"]),
        (["F10.C0", "F9.C1", "F1"], ["0x02", "9-0x02", "10-0x01"]),
    ],
)
def test_bitmaps_are_those_of_the_documentation(names: list[str], expected: list[str]) -> None:
    children = ("Street", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8")
    positions = {f"F{number}": number for number in range(30)}
    compounds = dict.fromkeys(positions, children)
    compounds |= dict.fromkeys(("F6", "F9", "F10"), ("C0", *children[1:]))

    assert bitmaps(names, positions, compounds) == expected
