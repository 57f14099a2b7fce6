"""What the commands do: each file one group, built from the floors below."""
