"""Large pages of results, compressed in temporary files, so that they can be sent again at once."""

import os
import tempfile
import zlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import IO

MAX_PAGES = 64
READ_BYTES = 256 * 1024
GZIP_BITS = 31
FAST = 1


@dataclass(slots=True)
class _Page:
    file: IO[bytes]
    readers: int = 0

    def read(self) -> Iterator[bytes]:
        self.readers += 1
        try:
            place = 0
            while part := os.pread(self.file.fileno(), READ_BYTES, place):
                yield part
                place += len(part)
        finally:
            self.readers -= 1


@dataclass(slots=True)
class PageStore:
    """The newest pages by a key that is different for any other content."""

    _pages: dict[Hashable, _Page] = field(default_factory=dict)

    def page(self, key: Hashable, write: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        """Yield a page compressed with gzip: from its file, or written and then kept."""
        if known := self._pages.get(key):
            yield from known.read()
            return
        compressor = zlib.compressobj(FAST, wbits=GZIP_BITS)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the page keeps it open
        try:
            for part in write():
                if compressed := compressor.compress(part):
                    file.write(compressed)
                    yield compressed
            rest = compressor.flush()
            file.write(rest)
            file.flush()
        except BaseException:
            file.close()
            raise
        self._keep(key, _Page(file))
        yield rest

    def _keep(self, key: Hashable, page: _Page) -> None:
        if key in self._pages:  # another request was faster
            page.file.close()
            return
        self._pages[key] = page
        idle = [known for known, kept in self._pages.items() if not kept.readers]
        for old in idle[: max(len(self._pages) - MAX_PAGES, 0)]:
            self._pages.pop(old).file.close()

    def close(self) -> None:
        """Remove every page."""
        for page in self._pages.values():
            page.file.close()
        self._pages.clear()


def decompressed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of a compressed page."""
    decompressor = zlib.decompressobj(wbits=GZIP_BITS)
    for part in parts:
        if content := decompressor.decompress(part):
            yield content
