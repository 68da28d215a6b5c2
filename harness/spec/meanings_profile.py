"""One line of meaning for every key of a profile and of a file of waivers."""

from __future__ import annotations

PROFILE: dict[str, dict[str, str]] = {
    "ProfileSpec": {
        "description": "one line that says what it asks for",
        "version": "counts up whenever what it asks for changes",
        "extends": "a profile whose requirements are these, too: one of the harness's by name, or a path from here",
        "budget": "limits on every machine",
        "budgets": "limits by machine or architecture, over `budget`",
        "requirements": "what an image must show",
    },
    "Requirement": {
        "id": "its name: up to 40 of `a-z 0-9 -`, in no profile that is extended",
        "text": "what it asks for, as the certificate says it",
        "level": "whether a certificate is refused without it, or has a warning",
        "cases": "what shows it: `file.py::test_name` or `file.py` of the harness's cases; `./file.py…` lies beside "
        "the profile",
        "architectures": "where it is asked for; everywhere when empty",
        "not_applicable": "when it cannot be asked for, and why; what no rule excuses has to be run",
    },
    "ApplicabilityRule": {
        "when": "what must be so of the image or the machine",
        "why": "why that is no fault, as the certificate says it",
    },
    "Waivers": {"waivers": "the excuses, one a requirement"},
    "Waiver": {
        "requirement": "the id of the requirement",
        "reason": "why it is not fulfilled",
        "owner": "who answers for that",
        "until": "the last day on which the excuse counts, `YYYY-MM-DD` by UTC",
    },
}
