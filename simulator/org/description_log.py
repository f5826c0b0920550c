"""When the descriptions of objects changed, for `If-Modified-Since`."""

import json
from dataclasses import dataclass, field

from simulator.org.records import JsonObject


@dataclass(slots=True)
class DescriptionLog:
    """The last description that was sent for each path, as a hash, and when it was new."""

    started_at: int
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def changed_at(self, path: str, body: JsonObject, now: int) -> int:
        """Return the time, in seconds, of the last change of what is described at this path.

        It is later than every earlier response, so that no client takes a change for known.
        """
        digest = hash(json.dumps(body, sort_keys=True))
        known = self._seen.get(path)
        if known is None:
            self._seen[path] = (digest, self.started_at)
        elif known[0] != digest:
            self._seen[path] = (digest, max(now, known[1]) + 1)
        return self._seen[path][1]
