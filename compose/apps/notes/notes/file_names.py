"""The name of an uploaded file, made safe to show and to send back; imports nothing external."""

LONGEST_NAME = 150
LONGEST_ENDING = 10


def safe_file_name(sent: str) -> str:
    """Return the last part of a sent file name without control characters, never empty."""
    last = sent.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(character for character in last if character.isprintable()).strip(" .")
    return shorten(printable) or "file"


def shorten(name: str) -> str:
    """Cut a long name in the middle of its stem, so that its ending survives."""
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > LONGEST_ENDING:
        return name[:LONGEST_NAME]
    return stem[: LONGEST_NAME - len(ending) - 1] + dot + ending
