"""The protobuf messages of MEXC's streams, limited to the fields that are used.

Source: PushDataV3ApiWrapper.proto and PublicAggreDealsV3Api.proto in mexcdevelop/websocket-proto.
Protobuf skips fields that are not declared here.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "mexc"
_STRING, _INT32, _INT64 = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_INT64,
)
_MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "Deal": {
        "price": (1, _STRING),
        "quantity": (2, _STRING),
        "tradeType": (3, _INT32),
        "time": (4, _INT64),
    },
    "Deals": {"deals": (1, "Deal"), "eventType": (2, _STRING)},
    "PushData": {
        "channel": (1, _STRING),
        "symbol": (3, _STRING),
        "sendTime": (6, _INT64),
        "publicAggreDeals": (314, "Deals"),
    },
}
"""The fields of each message: name, number and type; the field ``deals`` is repeated."""


def _push_data() -> Any:
    file = FileDescriptorProto(name="mexc.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if field == "deals" else added.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type, added.type_name = added.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = kind
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.PushData"))


read_push_data = _push_data().FromString
"""Parse a frame. Raises google.protobuf.message.DecodeError."""
