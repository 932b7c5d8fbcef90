"""What all models of the API share."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict


def timestamp(moment: datetime) -> str:
    """Write a moment as Kubernetes does (metav1.Time): RFC 3339, UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["JsonDict", "Key", "Model", "Name", "ObservedGeneration", "Time", "timestamp"]

Time = Annotated[datetime, PlainSerializer(timestamp, return_type=str)]

UNSEEN = -1
"""observedGeneration of an object that no operator has looked at yet: the CRDs' default.

Without it the object has no status at all, which kstatus (Flux, kpt, kubectl's appliers) takes for one that is done.
"""

ObservedGeneration = Annotated[int | None, BeforeValidator(lambda value: None if value == UNSEEN else value)]
"""As absent as it is in fact."""

Name = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", description="Name of the object."),
]
Key = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", description="Key in the object's data.")
]


def _with_rules(schema: JsonDict, model: type[BaseModel]) -> None:
    """Put a model's CEL rules into its JSON schema, from which the CRD is made."""
    rules: tuple[tuple[str, str], ...] = getattr(model, "rules", ())
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]


class Model(BaseModel):
    """A part of a custom resource: camelCase outside, unset fields absent, unknown fields ignored.

    Unknown fields are ignored because an object may have been written by a newer version of its CRD.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", json_schema_extra=_with_rules
    )

    rules: ClassVar[tuple[tuple[str, str], ...]] = ()
    """CEL rules of this object for its CRD: (rule, message)."""

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Read from what the API server stores; an explicit null counts as absent.

        Raises:
            pydantic.ValidationError: The object does not fit the model.
        """
        return cls.model_validate(without_nulls(data))

    def dump(self) -> dict[str, Any]:
        """Write as the API server stores it: JSON types only, unset and empty fields absent."""
        dumped: dict[str, Any] = without_empties(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        return dumped


def without_empties(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Drop members of objects that are empty lists or objects."""
    if isinstance(value, dict):
        return {key: without_empties(item) for key, item in value.items() if item not in ([], {})}
    if isinstance(value, list):
        return [without_empties(item) for item in value]
    return value


def without_nulls(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Drop null members of objects, as the API server does for fields that aren't nullable."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
