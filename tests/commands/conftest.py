import pytest
from django.core.management import CommandError

from tests.commands.running import ConfigurationFile


@pytest.fixture
def file(db, tmp_path):
    """A configuration file in the test's folder."""
    return ConfigurationFile(tmp_path / "cdc.yaml")


@pytest.fixture
def refusal(file):
    """Applies a text that must be refused, and returns the errors without the file's name."""

    def apply(text: str, *options: str) -> list[str]:
        with pytest.raises(CommandError) as refused:
            file.apply(text, *options)
        assert refused.value.returncode == 1
        prefix = f"{file.path}:"
        return [line.removeprefix(prefix) for line in str(refused.value).splitlines()[1:]]

    return apply
