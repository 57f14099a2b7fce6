"""moorage: one configuration brings an app up on one server, keeps it safe and moves it on."""

__version__ = "0.1.0"
