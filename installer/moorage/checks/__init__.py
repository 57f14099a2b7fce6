"""What `moorage check` looks at: one file per subject, `run.py` runs them all."""
