"""Exporters: a model in, a file for a runtime out. One file per runtime; ``load`` knows them all."""
