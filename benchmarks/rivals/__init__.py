"""What a user would write instead, as well as it is usually written."""
