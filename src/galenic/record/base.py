"""What every record shares: frozen, typed, refusing unknown keys, with a hash of its content."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen, validated piece of data that has a JSON form."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants", protected_namespaces=())

    def digest(self) -> str:
        """The sha256 of the canonical JSON of this record, as 64 hexadecimal digits."""
        return content_hash(self.model_dump(mode="json"))


def content_hash(value: Any) -> str:
    """The sha256 of a JSON value with sorted keys and no spaces, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
