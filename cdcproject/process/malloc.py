"""Settings of the C library's memory allocator."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 1024


def return_large_blocks() -> None:
    """Return large blocks, such as a response with many changes, to the system as soon as they are
    freed.

    glibc does so at first, but then raises the threshold to the largest block that was freed, and
    keeps the memory of such blocks in the heaps of the threads. Other libraries are left as they
    are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
