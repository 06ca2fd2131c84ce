"""hosts, as it changes while a container runs."""

from __future__ import annotations

from sampan.network.files import hosts, merged_hosts, relinked_hosts


def test_lines_come_and_go_beside_edited_ones() -> None:
    before, after = hosts([("10.0.0.2", "me")]), hosts([("10.0.0.2", "me"), ("10.1.0.2", "me")])
    edited = before.replace("ff00::\tip6-mcastprefix\n", "") + "192.0.2.1\tmine\n"
    joined = merged_hosts(edited, before, after)
    assert joined == edited + "10.1.0.2\tme\n"
    assert merged_hosts(joined, after, before) == edited
    assert merged_hosts(joined, after, hosts([("10.1.0.2", "me")])).splitlines()[-2:] == [
        "192.0.2.1\tmine",
        "10.1.0.2\tme",
    ]


def test_a_link_is_rewritten_by_its_alias() -> None:
    text = "10.0.0.2\tdb 0123456789ab database\n10.0.0.2\tdb2\n10.0.0.9\tx db\n10.0.0.2\tdb\n"
    assert relinked_hosts(text, "db", "10.0.0.7") == (
        "10.0.0.7\tdb 0123456789ab database\n10.0.0.2\tdb2\n10.0.0.9\tx db\n10.0.0.7\tdb\n"
    )
