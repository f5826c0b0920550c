"""Routing selects the mappings that get a change."""

import itertools
from types import SimpleNamespace

import pytest

from handlers.routing.router import (
    Routed,
    candidates,
    lanes,
    overtakable_mappings,
    route,
    route_with_gaps,
    with_target,
)

_numbers = itertools.count(1)


def mapping(on="update", entity="*", handler="h", task="", changed_fields=(), track=False, **more):
    return SimpleNamespace(
        **{
            "pk": next(_numbers),
            "on": on,
            "entity": entity,
            "handler": handler,
            "task": task,
            "changed_fields": list(changed_fields),
            "condition": {},
            "ignore_origins": [],
            "ignore_users": [],
            "ordering": "per_record",
            "options": {},
            "destination_id": None,
            "has_outcomes": bool(handler) or track,
            "is_of_mirror": False,
            **more,
        }
    )


def changed(
    change_type="UPDATE",
    entity="Account",
    record="001A",
    fields=None,
    data=None,
    origin="",
    user="",
):
    return SimpleNamespace(
        change_type=change_type,
        entity_name=entity,
        record_id=record,
        changed_fields=fields,
        changed_data=data or {},
        change_origin=origin,
        commit_user=user,
    )


def got(change, mappings):
    """Return the mappings that get the change."""
    return [routed.mapping for routed in route(change, mappings) if not routed.skipped]


@pytest.mark.parametrize(
    ("change_type", "on"),
    [("CREATE", "create"), ("UPDATE", "update"), ("DELETE", "delete"), ("UNDELETE", "restore")],
)
def test_each_change_type_goes_to_its_kind_of_mapping(change_type, on):
    mappings = [mapping(kind) for kind in ("create", "update", "delete", "restore")]

    assert [m.on for m in got(changed(change_type), mappings)] == [on]


@pytest.mark.parametrize("change_type", ["GAP_UPDATE", "GAP_OVERFLOW", "SNAPSHOT", "update", "X"])
def test_other_change_types_go_nowhere(change_type):
    mappings = [mapping(kind) for kind in ("create", "update", "delete", "restore")]

    assert route(changed(change_type), mappings) == []


def test_a_wildcard_goes_nowhere():
    assert route(changed(record="001*"), [mapping()]) == []


def test_an_entity_picks_its_own_changes_and_a_star_all():
    account, contact, every = mapping(entity="Account"), mapping(entity="Contact"), mapping()

    assert got(changed(), [account, contact, every]) == [account, every]


def test_a_mapping_without_handler_and_task_gets_nothing():
    external = mapping(handler="", task="elsewhere.run")

    assert got(changed(), [mapping(handler=""), external]) == [external]


@pytest.mark.parametrize(
    ("wanted", "fields", "data", "touched"),
    [
        (["Phone"], ["Name", "Phone"], {}, True),
        (["Phone"], ["Name"], {"Phone": 1}, False),
        (["Phone"], None, {"Phone": None}, True),
        (["Phone"], None, {"Name": "x"}, False),
        (["Name"], ["Name.FirstName"], {}, True),
        (["Name.FirstName"], ["Name.LastName"], {}, False),
        (["Name.FirstName"], None, {"Name": {"FirstName": "x"}}, True),
        (["Name"], ["NameSuffix"], {}, False),
    ],
)
def test_changed_fields_narrow_updates(wanted, fields, data, touched):
    narrowed = mapping(changed_fields=wanted)

    assert got(changed(fields=fields, data=data), [narrowed]) == ([narrowed] if touched else [])


def test_a_condition_and_the_changed_fields_must_both_be_met():
    won = mapping(
        changed_fields=["Phone"], condition={"field": "StageName", "equals": "Closed Won"}
    )

    assert got(changed(data={"Phone": "1", "StageName": "Closed Won"}), [won]) == [won]
    assert route(changed(data={"Phone": "1", "StageName": "Open"}), [won]) == []
    assert route(changed(data={"StageName": "Closed Won"}), [won]) == []


def test_a_change_of_ones_own_is_skipped_with_the_reason():
    deaf, other = mapping(ignore_origins=["my-app"]), mapping()
    own = changed(origin="com/salesforce/api/rest/67.0;client=my-app")

    assert route(own, [deaf, other]) == [
        Routed(deaf, "written by client my-app, which this mapping leaves out"),
        Routed(other),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"on": "create"},
        {"entity": "Contact"},
        {"handler": ""},
        {"changed_fields": ["Phone"]},
        {"condition": {"field": "Phone", "exists": True}},
    ],
)
def test_a_change_of_ones_own_that_the_mapping_would_not_get_is_not_skipped(more):
    deaf = mapping(ignore_origins=["my-app"], **more)
    own = changed(origin="com/salesforce/api/rest/67.0;client=my-app", data={"Name": "x"})

    assert route(own, [deaf]) == []


def test_two_equal_mappings_get_a_change_each():
    twins = [mapping(), mapping()]

    assert got(changed(), twins) == twins


def test_one_handler_for_several_kinds_has_one_lane():
    create, log, update = mapping("create"), mapping("update", handler="log"), mapping("update")

    lane_of = lanes([create, log, update])

    assert lane_of[create.pk] == lane_of[update.pk] != lane_of[log.pk]


def test_a_handler_for_each_kind_has_one_lane():
    kinds = [mapping(on, handler=on) for on in ("create", "update", "delete", "restore")]

    assert set(lanes(kinds).values()) == {kinds[0].pk}


def test_handlers_of_the_same_change_have_lanes_of_their_own():
    every, account = mapping(handler="a"), mapping(handler="b", entity="Account")
    elsewhere = mapping(options={"url": "http://other"}, handler="a")

    assert len(set(lanes([every, account, elsewhere]).values())) == 3


def test_handlers_of_different_entities_never_meet():
    assert len(set(lanes([mapping(entity="A"), mapping(entity="B", handler="b")]).values())) == 1


def test_no_handler_or_task_waits_for_a_task_of_another_destination():
    """Not even one that never gets the same change: a destination may be down for long."""
    ours, shop, crm = (
        mapping("create", handler="", task="sync", track=True, destination_id=pk)
        for pk in (None, 1, 2)
    )
    shop_update = mapping(handler="", task="sync", track=True, destination_id=1)
    shop_delete = mapping("delete", handler="", task="remove", track=True, destination_id=1)
    handler = mapping("restore", handler="sync")

    lane_of = lanes([ours, shop, crm, shop_update, shop_delete, handler])

    assert len(set(lane_of.values())) == 4
    assert lane_of[shop.pk] == lane_of[shop_update.pk] == lane_of[shop_delete.pk]


def test_a_mirror_shares_its_lane_with_mirrors_only():
    account, contact = (
        mapping(entity=name, handler="mirror", options={"of": name}, is_of_mirror=True)
        for name in ("Account", "Contact")
    )
    handler = mapping(entity="Lead")

    lane_of = lanes([account, contact, handler])

    assert lane_of[account.pk] == lane_of[contact.pk] != lane_of[handler.pk]


def test_a_lane_keeps_its_number_without_the_mapping_that_gave_it():
    create, update = mapping("create"), mapping("update", handler="u")
    known = lanes([create, update])

    assert lanes([update], known) == {update.pk: create.pk}


def test_of_two_lanes_that_become_one_the_lower_number_stays_and_is_given_to_no_other():
    first, second, third = mapping("create"), mapping(handler="b"), mapping(handler="c")
    known = {first.pk: 1_000_000, second.pk: third.pk}

    lane_of = lanes([first, second, third], known)

    assert lane_of[first.pk] == lane_of[second.pk] == third.pk
    assert lane_of[third.pk] not in known.values()


def test_a_lane_that_cannot_have_its_own_id_gets_a_number_that_no_mapping_has():
    """Nor may another listener's lane get it: the number is made of the mapping's id."""
    first, second, third = (mapping(handler=handler) for handler in "abc")
    known = {first.pk: third.pk, second.pk: third.pk + 2**40}

    lane_of = lanes([first, second, third], known)

    assert lane_of == known | {third.pk: third.pk + 2 * 2**40}


def test_what_a_mapping_left_behind_keeps_its_lane_together():
    """It had the handler of one and goes to the handler of the other."""
    moved, other, one_more = mapping(handler="b"), mapping(handler="a"), mapping(handler="c")
    known = {moved.pk: 1, other.pk: 1, one_more.pk: 2}
    former = with_target(moved, "a", is_external=False)

    assert lanes([moved, other, one_more], known, [former]) == known
    assert len(set(lanes([moved, other, one_more], known).values())) == 3


def test_unordered_mappings_and_tasks_have_no_lane():
    assert lanes([mapping(ordering="unordered"), mapping(handler="", task="t")]) == {}


def test_only_an_ordered_mapping_that_shares_a_handler_with_an_unordered_one_is_overtaken():
    alone = mapping(handler="a")
    ordered = mapping(handler="b")
    unordered = mapping(handler="b", entity="Account", ordering="unordered")

    assert overtakable_mappings([alone, ordered]) == frozenset()
    assert overtakable_mappings([alone, ordered, unordered]) == {ordered.pk}


@pytest.mark.parametrize(
    "change_type", ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_UPDATE", "GAP_OVERFLOW", "NEW"]
)
def test_candidates_lose_no_mapping_that_gets_the_change(change_type):
    mappings = [
        mapping(on, entity, handler=handler)
        for on in ("create", "update", "delete", "restore")
        for entity in ("*", "Account", "Contact")
        for handler in ("h", "")
    ]
    change = changed(change_type)

    chosen = candidates(change_type, "Account", mappings)

    for select in (route, route_with_gaps):
        assert select(change, chosen) == select(change, mappings)
    assert len(chosen) in (0, 2)
