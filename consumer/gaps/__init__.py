"""Gap events, which come without data: planned when recorded, completed over REST."""
