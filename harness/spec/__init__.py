"""What a person writes: YAML files in, frozen objects or every complaint about them out."""

from harness.spec.annotations import EntrySettings, Health, settings
from harness.spec.complaints import Complaint, SpecError
from harness.spec.load import load_component, load_image, load_machine, load_plan
from harness.spec.references import is_component, kind_of, library, machines, package_folder

__all__ = [
    "Complaint",
    "EntrySettings",
    "Health",
    "SpecError",
    "is_component",
    "kind_of",
    "library",
    "load_component",
    "load_image",
    "load_machine",
    "load_plan",
    "machines",
    "package_folder",
    "settings",
]
