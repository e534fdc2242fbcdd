"""The JSON Schema of conditions, from their structs. Pure: no I/O."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import msgspec

from coinwatch.alerts.conditions.registry import DECLARATIONS

CONDITION = "Condition"
"""The definition of any condition."""
_REF = "#/$defs/{name}"


def definitions() -> dict[str, Any]:
    """The definition of each condition, of any condition, and of the choices they offer, by name."""
    structs = [declared.struct for declared in DECLARATIONS.values()]
    (union,), components = msgspec.json.schema_components([reduce(operator.or_, structs)], ref_template=_REF)
    for declared in DECLARATIONS.values():
        schema = components[declared.struct.__name__]
        schema["description"] = declared.description.replace("``", "`")
        for field in declared.fields:
            if field.schema is not None:
                schema["properties"][field.name] = dict(field.schema)
    for name, schema in components.items():
        if name not in {struct.__name__ for struct in structs}:
            schema.pop("description", None)
    return {**components, CONDITION: union}
