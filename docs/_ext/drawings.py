"""One drawing per method."""

def drawing(name: str) -> str:
    """Return a drawing as raw HTML."""
    return f"*{name}*"
