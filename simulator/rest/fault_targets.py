"""The names by which faults choose requests of the REST API."""

from collections.abc import Mapping

#: The names of requests to a query job, and to all of them.
JOB_METHODS: Mapping[str, str] = {"GET": "job", "PATCH": "abort", "DELETE": "delete"}
JOBS_METHODS: Mapping[str, str] = {"GET": "jobs", "POST": "create"}


def targets(method: str, path: str) -> list[tuple[str, str]]:
    """Return the targets of faults that the request belongs to, each with the resource's name.

    A request of Bulk API 2.0 is also one of REST.
    """
    parts = [part for part in path.split("/")[4:] if part]
    if parts[:2] != ["jobs", "query"]:
        is_of_object = parts[:1] == ["sobjects"] and len(parts) > len(("sobjects", "object"))
        return [("rest", parts[2] if is_of_object else (parts or [""])[0])]
    match parts[2:]:
        case []:
            name = JOBS_METHODS.get(method, "")
        case [_]:
            name = JOB_METHODS.get(method, "")
        case [_, resource, *_]:
            name = resource
    return [("bulk", name), ("rest", "jobs")]
