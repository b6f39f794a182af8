"""report.json, and one renderer per form: a page and a terminal. Renderers read the Report and measure nothing."""
