"""The steps of docs/quick-start.md work as they are written."""

from django.core.management import call_command

from tests.docs.examples import DOCS, blocks, defined

PAGE = DOCS / "quick-start.md"
ADDRESS = "http://127.0.0.1:8090"


def test_the_configuration_logs_in_to_the_simulated_org(transactional_db, simulator, tmp_path):
    [configuration] = blocks(PAGE, "yaml")
    assert ADDRESS in configuration
    file = tmp_path / "first.yaml"
    file.write_text(configuration.replace(ADDRESS, simulator.url))

    # Its handler is on another path here.
    call_command("apply_cdc_config", str(file), "--allow-unknown-handlers")

    call_command("check_cdc_connection", "simulated")  # it raises what it finds wrong


def test_the_first_handler_greets_each_new_account(crm, cdc_event, cdc_deliver, capsys):
    greet = defined(PAGE)["greet"]
    events = [cdc_event("Account", changed={"Name": "Acme"}), cdc_event("Account", changed={})]

    named, nameless = cdc_deliver(events, to=greet)

    assert (named.state, nameless.state) == ("succeeded", "skipped")
    assert "Hello, Acme!" in capsys.readouterr().out
