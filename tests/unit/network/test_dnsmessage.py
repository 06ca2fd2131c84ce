"""Our DNS messages as dnslib reads them, and bytes that are none."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from dnslib import EDNS0, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from sampan.network import dnsmessage
from sampan.network.dnsmessage import Malformed


def asked(name: str, kind: str = "A", edns: int = 0) -> bytes:
    record = DNSRecord.question(name, kind)
    if edns:
        record.add_ar(EDNS0(udp_len=edns))
    return bytes(record.pack())


def test_answers_are_read_by_others() -> None:
    question = dnsmessage.parse(asked("Web.Front", edns=4096))
    assert (question.name, question.kind, question.edns, question.limit) == ("web.front", dnsmessage.A, True, 1232)
    addresses = [ip_address("10.0.0.1"), ip_address("10.0.0.2")]
    answer = DNSRecord.parse(dnsmessage.reply(question, [dnsmessage.address_record(one, 5) for one in addresses]))
    assert [str(one.rdata) for one in answer.rr] == ["10.0.0.1", "10.0.0.2"]
    assert (str(answer.q.qname), answer.header.qr, answer.header.ra) == ("Web.Front.", 1, 1)
    assert len(answer.ar) == 1, "EDNS is answered with EDNS"
    reverse = dnsmessage.parse(asked("1.0.0.10.in-addr.arpa", "PTR"))
    assert dnsmessage.reverse_address(reverse.name) == ip_address("10.0.0.1")
    pointer = DNSRecord.parse(dnsmessage.reply(reverse, [dnsmessage.name_record("web.front", 5)]))
    assert str(pointer.rr[0].rdata) == "web.front."


def test_long_answers_are_cut_over_datagrams_only() -> None:
    question = dnsmessage.parse(asked("many"))
    records = [dnsmessage.address_record(ip_address(number), 5) for number in range(1, 101)]
    short, whole = dnsmessage.reply(question, records), dnsmessage.reply(question, records, stream=True)
    assert len(short) <= 512 and dnsmessage.truncated(short)
    assert len(DNSRecord.parse(whole).rr) == 100 and not dnsmessage.truncated(whole)


@pytest.mark.parametrize(
    ("name", "address"),
    [("1.0.0.127.in-addr.arpa", "127.0.0.1"), (".".join("1" + "0" * 30 + "f") + ".ip6.arpa", "f000::1"),
     ("0.0.127.in-addr.arpa", None), ("x.ip6.arpa", None), ("web", None), (".in-addr.arpa", None)],
)  # fmt: skip
def test_reverse_names(name: str, address: str | None) -> None:
    assert dnsmessage.reverse_address(name) == (ip_address(address) if address else None)


WELL_FORMED = asked("web.front")


@given(st.one_of(st.binary(max_size=300), st.builds(
    lambda at, noise: WELL_FORMED[:at] + noise, st.integers(0, 40), st.binary(max_size=40))))  # fmt: skip
def test_noise_is_refused_or_answered(message: bytes) -> None:
    try:
        question = dnsmessage.parse(message)
    except Malformed as fault:
        assert fault.reply is None or len(fault.reply) == 12
        return
    dnsmessage.reverse_address(question.name)
    assert dnsmessage.answers_question(dnsmessage.reply(question), question.id, question.raw)
