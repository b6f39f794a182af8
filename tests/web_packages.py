"""Stand-ins for what npm fetches for the page of ``galenic export --web``."""

from __future__ import annotations

import json
from pathlib import Path

from galenic.publish.web.runtimes import WEB_RUNTIMES


def fill_packages(folder: Path) -> Path:
    """Every file that the page needs, each with the imports that are rewritten, and each package's package.json."""
    for runtime in WEB_RUNTIMES:
        for file in runtime.files:
            place = folder / file.package / file.source
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("".join(f"import {name};\n" for name in file.renamed) or f"// {file.source}\n")
            about = {"name": file.package, "version": "1.2.3", "license": "MIT", "repository": {"url": "git+x"}}
            (folder / file.package / "package.json").write_text(json.dumps(about))
    return folder
