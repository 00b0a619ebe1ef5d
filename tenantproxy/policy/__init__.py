"""Rules over live signals: they judge and never act."""
