"""DNS messages: questions read, answers made and cut, and bytes that are none."""

from __future__ import annotations

import subprocess
import sys
import time
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
    answer = DNSRecord.parse(dnsmessage.reply(question, [dnsmessage.address_record(one) for one in addresses], ttl=5))
    assert [str(one.rdata) for one in answer.rr] == ["10.0.0.1", "10.0.0.2"]
    assert (str(answer.q.qname), answer.header.qr, answer.header.ra) == ("Web.Front.", 1, 1)
    assert len(answer.ar) == 1, "EDNS is answered with EDNS"
    reverse = dnsmessage.parse(asked("1.0.0.10.in-addr.arpa", "PTR"))
    assert dnsmessage.reverse_address(reverse.name) == ip_address("10.0.0.1")
    pointer = DNSRecord.parse(dnsmessage.reply(reverse, [dnsmessage.name_record("web.front")]))
    assert str(pointer.rr[0].rdata) == "web.front."


@pytest.mark.parametrize(("edns", "limit"), [(0, 512), (4096, 1232)])
def test_long_answers_are_cut_over_datagrams_only(edns: int, limit: int) -> None:
    question = dnsmessage.parse(asked("many", "ANY", edns=edns))
    records = [dnsmessage.address_record(ip_address(number)) for number in range(1, 101)]
    records.insert(3, dnsmessage.address_record(ip_address("fd00::1")))
    short, whole = dnsmessage.reply(question, records), dnsmessage.reply(question, records, stream=True)
    assert limit - 16 < len(short) <= limit and dnsmessage.truncated(short), "as many as there is room for"
    assert len(DNSRecord.parse(whole).rr) == 101 and not dnsmessage.truncated(whole)


def test_what_was_asked_before_is_answered_alike() -> None:
    """With the id of its own question, in the letters that it came in, and with the addresses of now."""
    first, second = ip_address("10.0.0.1"), ip_address("fd00::1")
    for number, name, address in ((7, "Web", first), (8, "web", first), (9, "Web", second), (7, "Web", first)):
        message = number.to_bytes(2, "big") + asked(name, "ANY")[2:]
        question = dnsmessage.parse(message)
        assert (question.id, question.name) == (number, "web")
        packed = dnsmessage.reply_with(question, [address], ttl=5, stream=False)
        assert packed == dnsmessage.reply(question, [dnsmessage.address_record(address)], ttl=5)
        answer = DNSRecord.parse(packed)
        assert (answer.header.id, str(answer.q.qname), str(answer.rr[0].rdata)) == (number, f"{name}.", str(address))
    for number in (7, 8):
        with pytest.raises(Malformed) as refused:
            dnsmessage.parse(number.to_bytes(2, "big") + bytes(3) + b"\2" + bytes(6))
        assert refused.value.reply is not None and refused.value.reply[:2] == number.to_bytes(2, "big")


def test_peers_are_asked_and_believed() -> None:
    """The long way round: ask, answer, read; an answer to something else is none."""
    asked_for = dnsmessage.question("Web_1.77.overlay", dnsmessage.ANY)
    received = dnsmessage.parse(dnsmessage.query(asked_for, 7))
    assert (received.name, received.recursion) == ("web_1.77.overlay", 0)
    addresses = [ip_address("10.0.0.1"), ip_address("fd00::1")]
    answer = dnsmessage.reply(received, [dnsmessage.address_record(one) for one in addresses])
    assert dnsmessage.answers(answer, 7, asked_for) and dnsmessage.addresses(answer) == addresses
    assert not dnsmessage.answers(answer, 8, asked_for)
    assert not dnsmessage.answers(answer, 7, dnsmessage.question("web_2.77.overlay", dnsmessage.ANY))
    assert not dnsmessage.answers(dnsmessage.query(asked_for, 7), 7, asked_for), "a question is no answer"


def test_names_that_point_at_names_take_no_time() -> None:
    """A message that a reader would follow in circles, or for ever: the longest that TCP carries."""
    header = bytes.fromhex("12340100000100000000ffff")
    pointers = b"".join((0xC000 + max(12, at - 2)).to_bytes(2, "big") for at in range(12, 16000, 2))
    deep = header[:10] + b"\0\1" + b"\1a\0\0\1\0\1" + pointers
    for message in (header + pointers, deep, header + b"\1a\xc0\x0c\0\1\0\1", header + b"\xc0\x0c\0\1\0\1"):
        before = time.process_time()
        with pytest.raises(Malformed):
            dnsmessage.parse(message)
        assert dnsmessage.addresses(message) == []
        assert time.process_time() - before < 1


def test_nothing_is_loaded_before_it_is_needed() -> None:
    code = "import sys, sampan.network.networks; assert 'dnslib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "address"),
    [("1.0.0.127.in-addr.arpa", "127.0.0.1"), (".".join("1" + "0" * 30 + "f") + ".ip6.arpa", "f000::1"),
     ("0.0.127.in-addr.arpa", None), ("x.ip6.arpa", None), ("web", None), (".in-addr.arpa", None)],
)  # fmt: skip
def test_reverse_names(name: str, address: str | None) -> None:
    assert dnsmessage.reverse_address(name) == (ip_address(address) if address else None)


WELL_FORMED = asked("web.front", edns=1232)
ANSWER = dnsmessage.reply(dnsmessage.parse(WELL_FORMED), [dnsmessage.address_record(ip_address("10.0.0.1"))] * 3)


@given(st.one_of(st.binary(max_size=300), st.builds(
    lambda at, noise: WELL_FORMED[:at] + noise, st.integers(0, 40), st.binary(max_size=40))))  # fmt: skip
def test_noise_is_refused_or_answered(message: bytes) -> None:
    try:
        question = dnsmessage.parse(message)
    except Malformed as fault:
        assert fault.reply is None or len(fault.reply) == 12
        return
    dnsmessage.reverse_address(question.name)
    assert dnsmessage.answers(dnsmessage.reply(question), question.id, question.asked)


@given(st.one_of(st.binary(max_size=300), st.builds(
    lambda at, noise: ANSWER[:at] + noise, st.integers(0, 60), st.binary(max_size=60))))  # fmt: skip
def test_noise_from_upstream_and_peers_is_no_answer(message: bytes) -> None:
    dnsmessage.answers(message, 1, dnsmessage.question("web.front", dnsmessage.A))
    dnsmessage.addresses(message)
