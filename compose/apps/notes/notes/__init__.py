"""Notes: the small demo application that moorage installs, backs up and moves in its own tests."""

VERSION = "1.0.0"
