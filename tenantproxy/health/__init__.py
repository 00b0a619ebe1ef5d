"""Asks endpoints whether they are well, and says what they answered; it decides nothing."""
