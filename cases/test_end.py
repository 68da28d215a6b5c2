"""An image whose work is done at power-off: it comes to the end that its YAML expects, by itself."""

import pytest


@pytest.mark.end
def test_comes_to_its_end(boot):
    boot(until="", probe=False).wait_end()
