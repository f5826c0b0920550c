"""Every setting has a test that observes it on the wire: add new settings here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db.models import Model

from listeners.models import Connection, Listener
from listeners.models.client_config_rules import CLIENT_KEYS, REFRESH_KEYS, TLS_KEYS
from tests.settings_on_the_wire import test_client_config as client_config
from tests.settings_on_the_wire import test_gap_policy as gap_policy
from tests.settings_on_the_wire import test_jwt as jwt
from tests.settings_on_the_wire import test_keep_alive as keep_alive
from tests.settings_on_the_wire import test_logins as logins
from tests.settings_on_the_wire import test_proxy as proxy
from tests.settings_on_the_wire import test_pubsub as pubsub
from tests.settings_on_the_wire import test_sensitive_fields as sensitive_fields
from tests.settings_on_the_wire import test_session as session
from tests.settings_on_the_wire import test_soap as soap
from tests.settings_on_the_wire import test_timeouts as timeouts
from tests.settings_on_the_wire import test_tls as tls
from tests.settings_on_the_wire import test_token_lifetime as lifetime
from tests.settings_on_the_wire import test_token_stores as stores

pytestmark = pytest.mark.anywhere

Tests = dict[str, Callable[..., None]]

NOT_SETTINGS = {"id", "name", "created_at", "updated_at"}

CONNECTION: Tests = {
    "auth": logins.test_each_kind_logs_in_in_its_own_way_and_its_token_is_used,
    "base_url": logins.test_requests_go_where_the_answer_says_or_else_to_the_base_url,
    "login_url": soap.test_the_login_goes_to_the_login_url_and_requests_to_the_server_it_names,
    "is_sandbox": soap.test_without_a_login_url_it_goes_to_salesforces_own_page_for_the_kind_of_org,
    "token_url": logins.test_a_token_is_asked_for_at_the_token_url,
    "refresh_url": (
        logins.test_a_refresh_token_is_exchanged_at_the_refresh_url_or_else_at_the_base_url
    ),
    "client_id": logins.test_client_id_and_secret_travel_in_the_body,
    "client_secret": logins.test_client_id_and_secret_travel_in_the_body,
    "username": logins.test_the_password_login_sends_username_and_password_as_they_are,
    "password": logins.test_the_password_login_sends_username_and_password_as_they_are,
    "token": logins.test_a_bearer_token_is_used_as_it_is_and_no_other_is_asked_for,
    "refresh_token": (
        logins.test_a_refresh_token_is_exchanged_at_the_refresh_url_or_else_at_the_base_url
    ),
    "private_key": jwt.test_the_private_key_is_taken_from_where_it_is,
    "audience": jwt.test_the_audience_is_the_one_that_is_set_or_else_that_of_the_kind_of_org,
    "scopes": logins.test_scopes_are_asked_for_in_one_field,
    "default_token_exp_time": (
        lifetime.test_a_token_near_its_end_is_renewed_and_the_stream_keeps_its_session
    ),
    "clock_skew": lifetime.test_a_token_near_its_end_is_renewed_and_the_stream_keeps_its_session,
    "optional_params": (
        logins.test_optional_params_are_in_the_form_with_their_references_looked_up
    ),
    "credential_bearer": logins.test_client_id_and_secret_travel_in_a_header,
    "client_config": client_config.test_custom_headers_go_with_the_login_and_with_nothing_else,
    "refresh_config": lifetime.test_a_password_login_is_renewed_as_refresh_config_says,
    "token_store": stores.test_the_token_is_kept_in_its_store_alone_and_cannot_be_read_there,
    "proxy_scheme": proxy.test_it_can_be_spoken_to_over_https,
    "proxy_host": proxy.test_a_login_of_each_kind_and_all_that_follows_goes_through_it,
    "proxy_port": proxy.test_a_login_of_each_kind_and_all_that_follows_goes_through_it,
    "proxy_username": proxy.test_its_user_name_and_password_arrive_there_and_nowhere_else,
    "proxy_password": proxy.test_its_user_name_and_password_arrive_there_and_nowhere_else,
}

CLIENT: Tests = {
    "http_version": client_config.test_the_login_speaks_the_http_version_that_is_set,
    "custom_headers": client_config.test_custom_headers_go_with_the_login_and_with_nothing_else,
    "custom_payload": client_config.test_the_custom_payload_is_part_of_the_form,
    "connection_timeout": (
        client_config.test_a_host_that_takes_no_connection_is_given_up_after_the_connection_timeout
    ),
    "read_timeout": (
        client_config.test_a_host_that_does_not_answer_is_given_up_after_the_read_timeout
    ),
    "tls": tls.test_a_host_of_the_ca_bundle_is_trusted_by_requests_of_every_kind,
}

TLS: Tests = {
    "ca_bundle": tls.test_a_host_of_the_ca_bundle_is_trusted_by_requests_of_every_kind,
    "client_certificate": tls.test_all_that_follows_a_login_shows_the_certificate_too,
    "client_key": tls.test_all_that_follows_a_login_shows_the_certificate_too,
    "verify": tls.test_every_server_is_trusted_when_verify_is_false,
}

REFRESH: Tests = {
    "refresh_url": lifetime.test_a_refresh_goes_to_its_own_url_or_else_to_that_of_the_login,
    "scopes": lifetime.test_a_refresh_asks_for_its_own_scopes_or_else_for_those_of_the_login,
    "optional_params": lifetime.test_a_refresh_has_optional_params_of_its_own,
    "credential_bearer": lifetime.test_a_refresh_has_a_credential_bearer_of_its_own,
    "client_config": lifetime.test_a_refresh_has_headers_and_a_payload_of_its_own,
}

LISTENER: Tests = {
    "connection": logins.test_a_listener_uses_the_connection_it_is_given,
    "channel": session.test_a_channel_is_subscribed_by_its_full_name,
    "transport": session.test_the_transport_cometd_is_long_polling_of_the_streaming_api,
    "pubsub_endpoint": pubsub.test_the_transport_pubsub_is_grpc_at_the_endpoint,
    "managed_subscription": (
        pubsub.test_a_managed_subscription_is_named_and_says_itself_where_it_begins
    ),
    "replay_from": (
        session.test_each_enabled_listener_subscribes_its_channel_from_where_it_is_to_begin
    ),
    "enabled": session.test_each_enabled_listener_subscribes_its_channel_from_where_it_is_to_begin,
    "on_replay_lost": session.test_a_position_that_is_lost_is_left_as_the_policy_says,
    "sensitive_fields": (
        sensitive_fields.test_a_sensitive_value_reaches_its_handler_and_is_masked_elsewhere
    ),
    "gap_policy": gap_policy.test_a_record_is_read_from_salesforce_only_by_the_policy_to_fetch,
    "api_version": session.test_requests_name_the_api_version,
    "connection_timeout": (
        timeouts.test_an_answer_that_comes_late_while_opening_is_given_up_after_the_connection_timeout
    ),
    "read_timeout": (
        timeouts.test_a_poll_is_given_up_when_it_is_silent_for_the_read_timeout_past_the_hold
    ),
    "keep_alive_interval": (
        keep_alive.test_a_silent_salesforce_is_asked_whether_it_is_there_on_a_connection_of_its_own
    ),
    "session_timeout": session.test_a_session_that_was_idle_for_longer_is_not_resumed,
}


def settings_of(model: type[Model]) -> set[str]:
    return {field.name for field in model._meta.concrete_fields} - NOT_SETTINGS


@pytest.mark.parametrize(("model", "tests"), [(Connection, CONNECTION), (Listener, LISTENER)])
def test_each_field_has_a_test(model: type[Model], tests: Tests) -> None:
    assert set(tests) == settings_of(model)


@pytest.mark.parametrize(
    ("keys", "tests"),
    [(CLIENT_KEYS, CLIENT), (TLS_KEYS, TLS), (REFRESH_KEYS, REFRESH)],
    ids=["client_config", "client_config.tls", "refresh_config"],
)
def test_each_key_of_a_field_that_is_an_object_has_a_test(
    keys: tuple[str, ...], tests: Tests
) -> None:
    assert set(tests) == set(keys)


@pytest.mark.parametrize("tests", [CONNECTION, CLIENT, TLS, REFRESH, LISTENER])
def test_each_of_these_tests_is_one_that_runs_here(tests: Tests) -> None:
    for test in tests.values():
        assert test.__name__.startswith("test_")
        assert Path(test.__code__.co_filename).parent == Path(__file__).parent
