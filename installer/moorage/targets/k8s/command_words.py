"""Words of commands as Kubernetes must be given them."""

from __future__ import annotations

import re
from collections.abc import Sequence


def words(texts: Sequence[str]) -> list[str]:
    """Words of a command as they are: Kubernetes would fill in `$(NAME)`, and takes `$$` for a single sign."""
    return [re.sub(r"\$(?=[$(])", "$$", text) for text in texts]
