"""The JavaScript that draws charts, from the package vl-convert-python: no page loads it from elsewhere."""

import functools

import vl_convert


@functools.cache
def vega(version: str) -> str:
    """One script that sets `vega`, `vegaLite` (this version, "5.21" or "6.4") and `vegaEmbed`."""
    script = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]  # its stub asks for a snippet too
    return script.replace("</script", "<\\/script")
