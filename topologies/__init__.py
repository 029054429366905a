"""Wires: settings to a Faust app, its topics, agents and timers. No rule about data."""
