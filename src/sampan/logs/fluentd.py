"""The fluentd driver: the forward protocol (Fluentd's Forward Protocol Specification v1, message mode)."""

from __future__ import annotations

from sampan import errors

from . import messagepack
from . import options as opts
from .info import LogInfo
from .sink import Address, Encoder, Message, SocketSink, split_host_port

_SOURCES = {1: "stdout", 2: "stderr"}


def address(config: dict[str, str]) -> Address:
    text = config.get("fluentd-address", "") or "tcp://127.0.0.1:24224"
    if "://" not in text:
        text = f"tcp://{text}"
    scheme, _, rest = text.partition("://")
    if scheme == "unix":
        if not rest.strip("/"):
            raise errors.InvalidArgument(f"invalid fluentd-address ({text}): path is empty")
        return Address("unix", rest)
    if scheme not in ("tcp", "tls"):
        raise errors.InvalidArgument(f"invalid fluentd-address ({text}): unsupported scheme: '{scheme}'")
    if scheme == "tls":
        raise errors.NotImplementedHere("fluentd-address: tls is not supported")
    try:
        return Address("tcp", split_host_port(rest, 24224))
    except ValueError as error:
        raise errors.InvalidArgument(f"invalid fluentd-address {text}: {error}") from error


def validate_options(config: dict[str, str]) -> None:
    address(config)
    for name in ("fluentd-async", "fluentd-async-connect", "fluentd-sub-second-precision", "fluentd-request-ack"):
        opts.flag(config, name, default=False)
    if "fluentd-async" in config and "fluentd-async-connect" in config:
        raise errors.InvalidArgument(
            "conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect'"
        )
    opts.size(config, "fluentd-buffer-limit", 0)


def encoder(config: dict[str, str], info: LogInfo) -> Encoder:
    """`[tag, time, record, {}]` in msgpack."""
    tag = info.tag(config)
    constant = {"container_id": info.container_id, "container_name": info.name, **info.attributes(config)}
    precise = opts.flag(config, "fluentd-sub-second-precision", default=False)

    def encode(message: Message) -> list[bytes]:
        record: dict[str, str] = {
            **constant,
            "source": _SOURCES[message.stream],
            "log": message.data.decode("utf-8", "replace"),
        }
        if message.partial is not None:
            record["partial_message"] = "true"
            record["partial_id"] = message.partial.id
            record["partial_ordinal"] = str(message.partial.ordinal)
            record["partial_last"] = "true" if message.partial.last else "false"
        when = _time(message.timestamp_ns, precise)
        return [messagepack.array([messagepack.text(tag), when, messagepack.mapping(record)])]

    return encode


def _time(timestamp_ns: int, precise: bool) -> bytes:
    seconds, fraction = divmod(timestamp_ns, 1_000_000_000)
    return messagepack.event_time(seconds, fraction) if precise else messagepack.seconds(seconds)


def open_sink(config: dict[str, str], info: LogInfo) -> SocketSink:
    waits = not any(opts.flag(config, name, default=False) for name in ("fluentd-async", "fluentd-async-connect"))
    if "fluentd-buffer-limit" in config:
        config = {**config, "max-buffer-size": config["fluentd-buffer-limit"]}
    sink = SocketSink(address(config), encoder(config, info), config)
    sink.connect(required=waits)
    return sink
