"""nfnetlink: the batches of nftables and the single messages of conntrack (netfilter/nfnetlink.h)."""

from __future__ import annotations

import struct

from .netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST, NetlinkSocket, message

NFNL_SUBSYS_CTNETLINK = 1
NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN = 16
NFNL_MSG_BATCH_END = 17
NFNLGRP_NFTABLES = 7

NFPROTO_INET = 1
NFPROTO_IPV4 = 2
NFPROTO_IPV6 = 10

_GENMSG = struct.Struct(">BBH")

Request = tuple[int, int, bytes]


def genmsg(family: int, resource: int = 0) -> bytes:
    """struct nfgenmsg."""
    return _GENMSG.pack(family, 0, resource)


class NetfilterSocket(NetlinkSocket):
    """A NETLINK_NETFILTER socket of the namespace in which it is opened."""

    def __init__(self, groups: tuple[int, ...] = ()) -> None:
        super().__init__(NETLINK_NETFILTER, groups)

    def batch(self, requests: list[Request]) -> None:
        """All of the requests, or none: one nftables transaction. `NetlinkError.index` is the refused request's."""
        if not requests:
            return
        begin = self.next_sequence()
        parts = [message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, genmsg(0, NFNL_SUBSYS_NFTABLES), begin)]
        for kind, flags, payload in requests:
            parts.append(message(kind, flags | NLM_F_REQUEST, payload, self.next_sequence()))
        # One acknowledgement is enough: refusals are always told, all of them before the transaction's end.
        kind, flags, payload = requests[-1]
        parts[-1] = message(kind, flags | NLM_F_REQUEST | NLM_F_ACK, payload, self._sequence)
        end = genmsg(0, NFNL_SUBSYS_NFTABLES)
        parts.append(message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, end, self.next_sequence()))
        self.send(b"".join(parts))
        self.collect(begin)
