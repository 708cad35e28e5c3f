"""Prepared data: whole or not, what is in it, copied to where it is used."""
