"""The contract of a store, with the boto3 of the job image: it is years older than the newest."""

from __future__ import annotations

from tests.contract.test_stores import *  # noqa: F403
