"""Addresses without their secrets, for messages and files."""

import re

# the user name and password before the host
_USER = re.compile(r"//[^/@\s]+@")
# values of parameters that grant access, as in presigned addresses: token=…, sig=…, X-Amz-Signature=…
_SECRET_PARAMETER = re.compile(
    r"([?&;](?:[\w.-]*(?:token|signature|secret|credential|password|passwd|api[_-]?key|access[_-]?key)[\w.-]*"
    r"|sig|key|auth|pwd)=)[^&#\s]+",
    re.I,
)


def hide_credentials(text: str) -> str:
    """Replace user names, passwords and tokens in the addresses inside a text by "..."."""
    return _SECRET_PARAMETER.sub(r"\1...", _USER.sub("//...@", text))
