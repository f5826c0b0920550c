"""Building the site rewrites links to files outside of `docs/`, and refuses broken lists and
resources from other hosts."""

from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from docs.generator import site


def page(name):
    return SimpleNamespace(file=SimpleNamespace(src_uri=name))


def test_links_to_files_beside_the_pages_lead_to_pages():
    text = "[a](../SECURITY.md#what-is-not) [b](handlers.md) [c](../benchmarks/README.md)"

    made = site.on_page_markdown(text, page("operations.md"))

    assert made == "[a](security.md#what-is-not) [b](handlers.md) [c](benchmarks.md)"


def test_links_of_such_a_file_lead_from_its_page():
    made = site.on_page_markdown("[a](docs/console.md#roles)", page("security.md"))

    assert made == "[a](console.md#roles)"


def test_a_block_that_would_end_its_list_is_refused():
    with pytest.raises(PluginError, match=r"upgrading\.md: indent code blocks"):
        site.on_page_markdown(
            "1. Migrate:\n\n   ```sh\n   ls\n   ```\n\n2. Look", page("upgrading.md")
        )


def test_a_block_within_its_list_is_taken():
    text = "1. Migrate:\n\n    ```sh\n    ls\n    ```\n\n2. Look"

    assert site.on_page_markdown(text, page("upgrading.md")) == text


@pytest.mark.parametrize(
    ("html", "fetched"),
    [
        ('<script src="https://cdn.example/a.js"></script>', ["https://cdn.example/a.js"]),
        ("<link rel=stylesheet href=//cdn.example/a.css>", ["//cdn.example/a.css"]),
        ('<img alt="" src="http://cdn.example/a.png">', ["http://cdn.example/a.png"]),
        ('<script src="assets/a.js"></script><a href="https://example.com">', []),
        ('<link rel="canonical" href="https://example.com/">', []),
    ],
)
def test_what_a_page_fetches_from_elsewhere_is_found(html, fetched):
    assert site.fetched(html) == fetched


def test_a_site_that_fetches_something_is_refused(tmp_path):
    (tmp_path / "index.html").write_text('<img src="https://cdn.example/a.png">')

    with pytest.raises(PluginError, match=r"index\.html: https://cdn\.example/a\.png"):
        site.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))
