"""Files from the web: whole, checked, resumed."""
