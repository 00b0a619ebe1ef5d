"""The document: units, validation, JSON schema; untrusted input becomes values here."""
