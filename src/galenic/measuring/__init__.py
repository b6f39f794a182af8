"""Measuring: predictions, latency, memory and parity of files, from Sessions and arrays alone."""
