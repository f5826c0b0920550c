"""Lists of field names as change events carry them in Avro.

`0xHEX` for the fields themselves, `POS-0xHEX` for the children of the compound field at POS; bit i,
the lowest first, is field i. Whole bytes, in capitals.
"""

from collections.abc import Iterable, Mapping, Sequence


def bitmaps(
    names: Iterable[str], positions: Mapping[str, int], children: Mapping[str, Sequence[str]]
) -> list[str]:
    """The bitmaps for names such as `Phone` and `Name.FirstName`."""
    top, below = 0, dict[int, int]()
    for name in names:
        parent, _, child = name.partition(".")
        if child:
            bit = 1 << children[parent].index(child)
            below[positions[parent]] = below.get(positions[parent], 0) | bit
        else:
            top |= 1 << positions[parent]
    nested = [f"{position}-{_hex(bits)}" for position, bits in sorted(below.items())]
    return [_hex(top), *nested] if top else nested


def _hex(bits: int) -> str:
    return "0x" + bits.to_bytes((bits.bit_length() + 7) // 8).hex().upper()
