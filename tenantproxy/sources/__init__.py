"""Where documents come from; each source yields whole versions and applies nothing."""
