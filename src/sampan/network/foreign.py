"""Beside other programs' firewalls: a FORWARD chain of iptables-nft that drops by policy lets our bridges pass.

A drop in any base chain is final in nftables, so our own table cannot overrule it. What passes there is still subject
to our own rules. The rules have the form that iptables-nft writes itself, so that it reads and shows them.
"""

from __future__ import annotations

import os

from ..linux.nfnetlink import NFPROTO_IPV4, NFPROTO_IPV6, Request
from ..linux.nft import (  # fmt: skip
    META_IIFNAME,
    META_OIFNAME,
    NF_ACCEPT,
    NF_INET_FORWARD,
    Nftables,
    Table,
    compare,
    counter,
    immediate,
    meta,
)

CHAIN = "FORWARD"
_LEGACY = {"/proc/net/ip_tables_names": "iptables", "/proc/net/ip6_tables_names": "ip6tables"}


def admit(loaded: Nftables, bridges: set[str]) -> None:
    """Make every such chain accept what comes from and goes to these bridges, and no others of ours."""
    for family in (NFPROTO_IPV4, NFPROTO_IPV6):
        table = Table("filter", family)
        dropping = [
            chain for chain in loaded.base_chains(table)
            if chain.name == CHAIN and chain.hook == NF_INET_FORWARD and chain.policy != NF_ACCEPT
        ]  # fmt: skip
        if dropping:
            loaded.batch(_changes(loaded, table, bridges))


def _changes(loaded: Nftables, table: Table, bridges: set[str]) -> list[Request]:
    requests, present = [], set()
    for rule in loaded.rules(table):
        if rule.chain != CHAIN or not rule.comment.startswith("sampan "):
            continue
        direction_and_bridge = rule.comment.removeprefix("sampan ")
        if direction_and_bridge.partition(" ")[2] in bridges:
            present.add(direction_and_bridge)
        else:
            requests.append(table.delete_rule(CHAIN, rule.handle))
    for bridge in sorted(bridges):
        for direction, key in (("from", META_IIFNAME), ("to", META_OIFNAME)):
            if f"{direction} {bridge}" not in present:
                name = bridge.encode() + b"\0"  # iptables compares the name with its end, not all 16 bytes
                rule_parts = (meta(key), compare(name), counter(), immediate(NF_ACCEPT))
                comment = f"sampan {direction} {bridge}"
                requests.append(table.add_rule(CHAIN, *rule_parts, insert=True, comment=comment))
    return requests


def legacy_warnings() -> list[str]:
    """Legacy iptables is out of nftables' sight: say that it is there."""
    found = []
    for path, program in _LEGACY.items():
        if os.path.exists(path):
            with open(path) as file:
                if "filter" in file.read().split():
                    found.append(
                        f"legacy {program} rules are loaded: where their chain FORWARD drops, containers are cut off"
                    )
    return found
