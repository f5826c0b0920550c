"""Configuration files, refused or applied, have none of their secrets repeated in the output."""

import json

import pytest

from tests.secrecy.planted import Planted
from tests.secrecy.scene import Scene

#: Mistakes that users could make where a secret belongs. (Error messages do repeat keys, so that a
#: mistyped one can be found.)
VALUES = (
    "{secret}", "'{secret}", '"{secret}', "@{secret}", "*{secret}", "&{secret}", "!{secret} x",
    "%{secret}", "`{secret}", "[{secret}", "{{{secret}", "{secret}: {secret}", "- {secret}",
    "|\n{secret}", ">{secret}", "? {secret}", "{secret}\n      {secret}: x", "\t{secret}",
    "${{{secret}", "${{CDC_TEST_NOT_SET_{secret}-", "{secret}\0", "\ud83d{secret}", "'{secret}' x",
    "[{secret}]", "<<: {secret}", "--- {secret}", "... {secret}", "true",
)  # fmt: skip
KEYS = (
    "client_secret", "password", "token", "refresh_token", "private_key", "scopes",
    "optional_params", "client_config", "refresh_config", "proxy_config",
    "proxy_config: {{password", "client_config: {{custom_headers", "is_sandbox", "clock_skew",
    "secret", "handlers",
)  # fmt: skip
FILE = """\
connections:
  - name: prod
    auth: client_credentials
    base_url: https://example.my.salesforce.com
    client_id: app
    {key}: {value}
listeners:
  - name: crm
    connection: prod
    handlers:
      - {{on: create, handler: handlers.post_to_url, options: {{secret: {option}}}}}
"""


@pytest.mark.parametrize("source", ["file", "environment"])
def test_no_secret_is_repeated(processes, planted, tmp_path, source):
    files = list(written(planted, tmp_path, source))
    scene = Scene(processes, planted, tmp_path, CDC_TEST_VALUE=planted.special("from a variable"))

    said = scene.commands(
        *(["apply_cdc_config", file, "--dry-run"] for file in files),
        *(["apply_cdc_config", file] for file in files[::7]),
    )

    assert said.count("nothing was changed") > len(files) // 2
    assert "Traceback" not in said
    assert scene.leaks() == []


def written(planted: Planted, folder, source: str):
    for key in KEYS:
        for number, value in enumerate(
            VALUES if source == "file" else ("${{CDC_TEST_VALUE}}",) * 1
        ):
            name = f"{len(key)}-{key[:3]}-{key[-4:]}-{number}".replace(" ", "").replace("{", "")
            path = folder / f"{name}.yaml"
            secret = planted.plain(f"value {number} of {key} ")
            text = FILE.format(
                key=key.replace("{{", "{"),
                value=value.format(secret=secret.replace(" ", "-").replace(":", "")),
                option=json.dumps(planted.special("option")),
            )
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            yield str(path)
