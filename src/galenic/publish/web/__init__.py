"""A static page that runs a model in the browser: its files, the npm packages behind it, and Chromium to time them in."""
