"""What measured boot times tell: whether two sets differ, and where a series changed."""
