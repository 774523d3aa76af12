"""The JavaScript that draws charts, from the package vl-convert-python: no page loads it from elsewhere."""

import functools

import vl_convert


@functools.cache
def vega(version):
    """Vega, Vega-Lite and Vega-Embed as one script that sets `vega`, `vegaLite` and `vegaEmbed`.

    Args:
        version: of Vega-Lite, "5.21" or "6.4".
    """
    return vl_convert.javascript_bundle(vl_version=version).replace("</script", "<\\/script")
