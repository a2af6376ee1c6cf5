"""`lumina doctor`: looks for the reason why events do not arrive, from the configuration to an event read back."""
