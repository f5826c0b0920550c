"""A listener process's /metrics count what it receives and its interruptions."""

from cdcproject.version import __version__
from tests.metrics.scraped import scrape
from tests.servers import free_port, wait_for


def test_what_comes_is_counted_and_what_interrupts_it(processes, simulator, org_listener):
    port = free_port()
    name, connection = org_listener.name, org_listener.connection.name
    listener = processes.listener("--metrics-port", str(port))
    simulator.create("Account", {"Name": "One"}, {"Name": "Two"})
    listener.wait_for_output("subscribed")
    wait_for(lambda: scrape(port).total("cdc_changes_recorded_total") == 2, what="both changes")

    simulator.fault("revoke_tokens")
    simulator.fault("drop_sessions")
    simulator.create("Account", Name="Three")
    wait_for(lambda: scrape(port).total("cdc_changes_recorded_total") == 3, what="the third")

    published = "cdc_deliveries_published_total"
    wait_for(lambda: scrape(port).by("queue", published) == {"cdc": 3}, what="the publishing")
    told = wait_for(lambda: (page := scrape(port)).total("cdc_state_readable") and page)
    assert told.by("version", "cdc_build_info") == {__version__: 1}
    of_it = {"listener": name}
    assert told.total("cdc_messages_received_total", **of_it) >= 3
    assert told.total("cdc_receive_seconds_count", **of_it) >= 2
    assert told.total("cdc_record_seconds_count", **of_it) >= 2
    assert told.total("cdc_stream_opened_total", **of_it) >= 2
    assert told.by("reaction", "cdc_stream_interruptions_total", **of_it)
    assert told.by("listener", "cdc_leases_taken_total") == {name: 1}
    assert told.by("outcome", "cdc_tokens_total", connection=connection) == {"new": 2}
    assert told.total("cdc_listener_receiving", **of_it) == 1
    assert told.total("cdc_listener_enabled", **of_it) == 1
