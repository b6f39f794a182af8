"""Runtimes: a file in, a Session out. One file per runtime; ``load`` knows them all."""
