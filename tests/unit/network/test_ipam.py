"""Pools of addresses and of subnets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import Conflict, Forbidden
from sampan.network.config import AddressPool
from sampan.network.ipam import DEFAULT_POOLS, Pool, Pools, choose_subnet
from sampan.network.spec import IPAMPool


def test_reserved_addresses_are_never_given() -> None:
    pool = Pool(IPAMPool(subnet="10.0.0.0/29", gateway="10.0.0.1", auxiliary_addresses={"a": "10.0.0.3"}))
    given = []
    while (interface := pool.take_any()) is not None:
        given.append(str(interface))
    assert given == ["10.0.0.2/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29"]
    pool.release(ip_address("10.0.0.4"))
    assert str(pool.take_any()) == "10.0.0.4/29"
    with pytest.raises(Conflict, match=r"^Address already in use$"):
        pool.take(ip_address("10.0.0.4"))


@pytest.mark.parametrize(
    ("subnet", "ip_range", "first"),
    [("10.2.0.0/16", "10.2.5.0/24", "10.2.5.0"), ("10.2.0.0/31", "", "10.2.0.0"), ("fd00::/64", "", "fd00::1"),
     ("10.0.0.0/24", "", "10.0.0.1"), ("10.9.9.9/32", "", "10.9.9.9")],
)  # fmt: skip
def test_the_first_address(subnet: str, ip_range: str, first: str) -> None:
    interface = Pool(IPAMPool(subnet=subnet, ip_range=ip_range)).take_any()
    assert interface is not None and str(interface.ip) == first


@given(st.lists(st.one_of(st.none(), st.integers(0, 255)), max_size=300))
def test_no_address_is_given_twice(steps: list[int | None]) -> None:
    """None takes any address, a number frees the one with that last byte or takes it by name."""
    pools = Pools([IPAMPool(subnet="10.0.0.0/24", gateway="10.0.0.1")], "n")
    held: set[str] = set()
    for step in steps:
        try:
            if step is None:
                address = str(pools.take(4).ip)
                assert address not in held and address not in ("10.0.0.0", "10.0.0.1", "10.0.0.255")
                assert all(f"10.0.0.{low}" in held for low in range(2, int(address.rsplit(".", 1)[1]))), "the lowest"
            elif f"10.0.0.{step}" in held:
                pools.release(ip_address(f"10.0.0.{step}"))
                held.discard(f"10.0.0.{step}")
                continue
            else:
                address = str(pools.take(4, f"10.0.0.{step}").ip)
            held.add(address)
        except Conflict:
            assert step in (0, 1, 255), "network, gateway, broadcast"
        except Forbidden:
            assert len(held) == 253


def test_networks_do_not_run_out_at_31() -> None:
    taken = [ip_network("172.20.0.0/14"), ip_network("fd00::/8")]
    for _ in range(400):
        subnet = choose_subnet(DEFAULT_POOLS, taken)
        assert not any(subnet.version == other.version and subnet.overlaps(other) for other in taken)
        taken.append(subnet)


def test_all_pools_full() -> None:
    with pytest.raises(Forbidden, match=r"^all predefined address pools have been fully subnetted$"):
        choose_subnet((AddressPool("10.0.0.0/24", 24),), [ip_network("10.0.0.0/8")])
