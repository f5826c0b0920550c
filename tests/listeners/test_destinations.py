"""The egress policy decides which addresses this installation may connect to."""

import ipaddress

import pytest

from listeners.salesforce.errors import DestinationRefused, Reaction
from listeners.salesforce.http.allowlist import ANYWHERE, Destinations, is_public, parsed

SITE = parsed([])
INSIDE = (
    "localhost", "LOCALHOST.", "db.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001",
    "0177.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.9", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]",
    "[fc00::1]", "[ff02::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]", "[fd00:ec2::254]", "[fec0::1]",
)  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_a_site_asks_no_host_inside_however_it_is_written(host):
    assert "CDC_OUTBOUND_ALLOWED" in SITE.flaw(f"https://{host}/services/oauth2/token")


@pytest.mark.parametrize(
    "url", ["https://example.my.salesforce.com", "https://8.8.8.8:8443/x", "https://[2606:4700::1]"]
)
def test_a_site_asks_public_hosts(url):
    assert SITE.flaw(url) == ""


def test_plain_http_is_for_listed_hosts_alone():
    listed = parsed(["crm.internal", "*.corp.example", "10.1.0.0/16"])

    assert "https" in SITE.flaw("http://example.com")
    for host in ("crm.internal", "CRM.internal.", "a.b.corp.example", "10.1.2.3"):
        assert listed.flaw(f"http://{host}:8080") == ""
    for host in ("corp.example", "xcorp.example", "crm.internal.example", "10.2.0.1"):
        assert listed.flaw(f"http://{host}") != ""


def test_a_wildcard_lists_the_names_below_it_and_not_itself():
    listed = parsed(["*.corp.example"])

    assert listed.trusts("crm.corp.example")
    assert listed.trusts("eu.crm.corp.example.")
    assert not listed.trusts("corp.example")
    assert not listed.trusts("othercorp.example")


def test_debugging_takes_plain_http_and_still_nothing_link_local():
    debugging = parsed(["loopback", "private"], allows_http=True)

    assert debugging.flaw("http://example.com") == debugging.flaw("http://192.168.0.1") == ""
    assert debugging.flaw("http://169.254.169.254/latest/meta-data") != ""


def test_loopback_is_a_word_for_all_its_forms():
    local = parsed(["loopback"])

    for host in ("localhost:8080", "127.0.0.1:1", "[::1]:8080", "127.1", "[::ffff:127.0.0.1]"):
        assert local.flaw(f"http://{host}") == ""
    assert local.flaw("https://10.0.0.1") != ""


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "crm internal", "http://crm", "*", "-x", "a/b"])
def test_what_is_no_host_and_no_network_is_named(entry):
    with pytest.raises(ValueError, match="^" + entry.replace("*", r"\*") + "$"):
        parsed([entry])


def test_a_name_is_judged_by_where_it_leads(names):
    names["crm.example"] = [["8.8.8.8", "10.0.0.1"]]
    names["rebound.example"] = [["127.0.0.1", "169.254.169.254", "fe80::1", "::1"]]

    assert SITE.resolve("crm.example", 443) == ["8.8.8.8"]
    with pytest.raises(DestinationRefused) as refused:
        SITE.resolve("rebound.example", 443)
    assert refused.value.reaction is Reaction.BACK_OFF_LONG
    assert "127.0.0.1" not in str(refused.value)


def test_a_listed_name_is_trusted_wherever_it_leads(names):
    names["crm.internal"] = [["10.0.0.1"]]

    assert parsed(["crm.internal"]).resolve("crm.internal", 443) == ["10.0.0.1"]
    assert ANYWHERE.resolve("crm.internal", 443) == ["10.0.0.1"]


def test_a_network_of_ipv4_holds_addresses_that_are_wrapped_in_ipv6():
    assert parsed(["10.0.0.0/8"]).flaw("https://[::ffff:10.0.0.1]") == ""


def test_nothing_inside_is_public():
    for text in ("64:ff9b::a00:1", "2002:a00:1::", "::ffff:10.0.0.1", "100.64.0.1", "240.0.0.1"):
        assert not is_public(ipaddress.ip_address(text))
    assert is_public(ipaddress.ip_address("64:ff9b::808:808"))


def test_what_may_be_asked_is_a_value():
    assert parsed(["loopback"]) == parsed(["loopback"]) != Destinations()
