"""Telling by e-mail: a queue of deliveries, and what sends them."""
