"""Draw the table that a matrix ended with: ``python docs/img/picture.py RESULTS.json >docs/img/matrix.svg``."""

import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from harness.run import results
from harness.show import table

# rich's own format loads a font from the network; a picture in a repository should not
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def main() -> None:
    """Print the SVG of one results.json."""
    found = results.read(Path(sys.argv[1]))
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=112, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print("$ ./run matrix", highlight=False)
        for part in table.summary(found, console):
            console.print(part)
    print(console.export_svg(title="", theme=MONOKAI, code_format=FORMAT, unique_id="matrix"), end="")


main()
