"""What a person writes: YAML files in, frozen objects or every complaint about them out."""

from harness.spec.components import executable, load_component
from harness.spec.foreign import is_os, load_os
from harness.spec.load import load_image, load_machine, load_plan
from harness.spec.rules.annotations import EntrySettings, Health, settings
from harness.spec.rules.references import host_file, kind_of, library, machines
from harness.spec.text.complaints import Complaint, SpecError

__all__ = [
    "Complaint",
    "EntrySettings",
    "Health",
    "SpecError",
    "executable",
    "host_file",
    "is_os",
    "kind_of",
    "library",
    "load_component",
    "load_image",
    "load_machine",
    "load_os",
    "load_plan",
    "machines",
    "settings",
]
